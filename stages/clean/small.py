"""Pictures with a side below 64 px have too few features: they are compared whole, at 32 or 64 px.

First a look at many pairs at once: could one picture be the other, shifted by a few pixels? Cross-correlation by
Fourier transforms under a Hann window, in two bands, edges and texture. Registration finds that out more exactly but
costs a hundred times as much, and most pairs that hashes propose merely share a layout. What is left is registered
and compared as in `stages.clean.compare`, whole instead of in tiles.

Correlation over the whole picture is enough only where both show one frame: two aeroplanes before a sky have nearly one
outline, which outweighs all the rest, once one is moved onto the other. So pairs of which one had to be moved are asked
for the structure of SSIM (Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
IEEE TIP 2004), in which each place counts as much as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from stages.clean.opencv import correlation, cv2, farthest, lay, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stages.clean.opencv import Floats, Pixels

SIDES = (64, 32)  # px at which pairs are compared: the largest that both pictures have, roughly
# correlation from which a pair is registered, by side: of 3,049 pairs of CIFAR-10 that agree once they are registered
# 1 % stay below 0.7, of the others 78 %; larger pictures are fewer, and more often scaled
LEAST = {64: 0.5, 32: 0.7}
_SIDE = 32  # px of the first look
_REACH = 6  # px, the longest shift along each axis
_BANDS = ((1.0, 4.0), (0.64, 2.0))  # px, SD of the Gaussian blurs whose difference is taken
_HANN = np.hanning(_SIDE + 2)[1:-1].astype(np.float32)
_WINDOW = _HANN[:, None] * _HANN
_SHIFTS = np.array([*range(_REACH + 1), *range(-_REACH, 0)])
_PLACE = 1 / 32  # of the side, SD of the Gaussian window
_NOISE = 4.0  # variance in grey levels that JPEG leaves: what varies less in both pictures does not agree
_MARGIN, _BLOCKS = 1, 4  # px at the border that interpolation and JPEG blocks spoil; blocks along a side


@dataclass(frozen=True)
class Whole:
    """How two small pictures agree where they overlap.

    colour: correlation of the three channels. detail: correlation of what a Gaussian blur of 1/16 of the side takes
    away. worst: detail of the worst of 4x4 blocks that has any. overlap: share of the second that the first covers.
    structure: mean over all places of the local correlation, near 0 where there is nothing but noise. moved: how far
    registration moved the farthest corner, as a share of the side.
    """

    colour: float = 0.0
    detail: float = 0.0
    worst: float = 0.0
    overlap: float = 0.0
    structure: float = 0.0
    moved: float = 9.0


def side(smallest: int) -> int:
    """The side at which two pictures are compared whose smallest side is `smallest` px."""
    return next((s for s in SIDES if smallest >= 0.75 * s), SIDES[-1])


def square(pixels: Pixels, side: int) -> Pixels:
    """The picture at `side` x `side` px."""
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def shifts(
    pictures: NDArray[np.float32], left: Sequence[int], right: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Shift and correlation of pairs of grey pictures.

    Args:
        pictures: float32 of shape (pictures, 32, 32), each of them once: most stand in several pairs.
        left: place in `pictures` of the one picture of each pair.
        right: of the other.

    Returns:
        The shift (x, y) in px from places in `right` to places in `left`, (n, 2), and the mean over the bands of the
        highest correlation, (n,). No row depends on the others.
    """
    mean = (pictures * _WINDOW).sum(axis=(1, 2), keepdims=True) / _WINDOW.sum()
    spectra = np.asarray(fft.rfft2((pictures - mean) * _WINDOW), np.complex64)
    power = spectra.real**2 + spectra.imag**2
    cross = spectra[left] * spectra[right].conj()
    scores, best = [], np.zeros(len(left), np.int64)
    for gain, weight in (_gain(*band) for band in _BANDS):
        peaks = fft.irfft2(cross * gain, (_SIDE, _SIDE))[:, _SHIFTS[:, None], _SHIFTS].reshape(len(left), -1)
        energy = np.einsum("ijk,jk->i", power, weight)
        scores.append(peaks.max(axis=1) / np.sqrt(energy[left] * energy[right] + 1e-9))
        best = peaks.argmax(axis=1) if len(scores) == 1 else best
    found = np.stack([_SHIFTS[best % len(_SHIFTS)], _SHIFTS[best // len(_SHIFTS)]], axis=1)
    return found, np.asarray((scores[0] + scores[1]) / 2, np.float32)


def compare(left: Pixels, right: Pixels, shift: Sequence[int]) -> Whole:
    """Register two pictures of one side and compare them.

    Args:
        left: uint8 of shape (side, side, 3).
        right: the same shape.
        shift: x and y in px from places in `right` to places in `left`, where registration starts.
    """
    a, b = left.astype(np.float32), right.astype(np.float32)
    size = len(b)
    warp = register(_grey(a), _grey(b), np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32), blur=3)
    if warp is None:
        return Whole()
    a, inside = lay(a, warp, b.shape)
    inside[:_MARGIN] = inside[-_MARGIN:] = inside[:, :_MARGIN] = inside[:, -_MARGIN:] = False
    if inside.sum() < size:
        return Whole()
    grey_a, grey_b = _grey(a), _grey(b)
    fine_a, fine_b = _detail(grey_a), _detail(grey_b)
    return Whole(
        colour=correlation(a[inside], b[inside]),
        detail=correlation(fine_a[inside][:, None], fine_b[inside][:, None]),
        worst=_worst(fine_a, fine_b, inside),
        overlap=float(inside.sum() / (size - 2 * _MARGIN) ** 2),
        structure=float(_structure(grey_a, grey_b)[inside].mean(dtype=np.float64)),
        moved=float(farthest(warp, np.eye(2, 3, dtype=np.float32), b.shape) / size),
    )


def _structure(a: Floats, b: Floats) -> Floats:
    """Correlation of two pictures in a Gaussian window around each place, shrunk towards 0 where neither varies."""
    deviation = len(a) * _PLACE
    mean_a, mean_b = _blurred(a, deviation), _blurred(b, deviation)
    of_a, of_b = (np.maximum(_blurred(x * x, deviation) - m * m, 0) for x, m in ((a, mean_a), (b, mean_b)))
    both = _blurred(a * b, deviation) - mean_a * mean_b
    return np.asarray(both / np.sqrt((of_a + _NOISE) * (of_b + _NOISE)), np.float32)


def _worst(a: Floats, b: Floats, inside: NDArray[np.bool_]) -> float:
    """Detail correlation of the worst block that is covered and has detail in either picture."""
    step = len(a) // _BLOCKS
    typical = float(np.sqrt((a[inside] ** 2).mean() * (b[inside] ** 2).mean()))
    worst = 1.0
    for y in range(0, step * _BLOCKS, step):
        for x in range(0, step * _BLOCKS, step):
            block = np.s_[y : y + step, x : x + step]
            here = inside[block]
            one, other = a[block][here], b[block][here]
            if here.mean() >= 0.5 and max(one.var(), other.var()) >= 0.1 * typical:
                worst = min(worst, correlation(one[:, None], other[:, None]))
    return worst


def _gain(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Squared response of a difference of Gaussians, and the weights that turn a half spectrum into an energy."""
    squared = np.fft.fftfreq(_SIDE)[:, None] ** 2 + np.fft.rfftfreq(_SIDE) ** 2
    gain = (np.exp(-2 * np.pi**2 * low**2 * squared) - np.exp(-2 * np.pi**2 * high**2 * squared)) ** 2
    twice = np.full(gain.shape[1], 2.0)
    twice[[0, -1]] = 1  # the other columns stand for their mirror image as well
    return gain.astype(np.float32), (gain * twice / _SIDE**2).astype(np.float32)


def _detail(grey: Floats) -> Floats:
    return _blurred(grey, len(grey) / 50) - _blurred(grey, len(grey) / 16)


def _blurred(grey: Floats, deviation: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _grey(pixels: Floats) -> Floats:
    return np.asarray(pixels.mean(axis=2), np.float32)
