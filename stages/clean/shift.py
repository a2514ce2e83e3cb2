"""A first look at many pairs at once: could one picture be the other, shifted by a few pixels?

Registration finds that out more exactly but costs a hundred times as much, and most pairs that hashes propose merely
share a layout. Cross-correlation by Fourier transforms, at 32 px, under a Hann window, in two bands: edges and
texture. What registration could still lay on each other (small rotations and scalings too) correlates here already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIDE = 32
REACH = 6  # px, the longest shift along each axis
_BANDS = ((1.0, 4.0), (0.64, 2.0))  # sigma in px of the Gaussian blurs whose difference is taken
_HANN = np.hanning(SIDE + 2)[1:-1].astype(np.float32)
_WINDOW = _HANN[:, None] * _HANN
_SHIFTS = np.array([*range(REACH + 1), *range(-REACH, 0)])


def estimate(
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
    spectra = _spectrum(pictures)
    cross = spectra[left] * spectra[right].conj()
    power = spectra.real**2 + spectra.imag**2
    scores, best = [], np.zeros(len(left), np.int64)
    for gain, weight in _GAINS:
        # both windows fade the border, so what overlaps after a long shift counts less than it could: no matter here
        peaks = np.fft.irfft2(cross * gain, (SIDE, SIDE))[:, _SHIFTS[:, None], _SHIFTS].reshape(len(left), -1)
        energy = np.einsum("ijk,jk->i", power, weight)
        scores.append(peaks.max(axis=1) / np.sqrt(energy[left] * energy[right] + 1e-9))
        best = peaks.argmax(axis=1) if len(scores) == 1 else best
    shifts = np.stack([_SHIFTS[best % len(_SHIFTS)], _SHIFTS[best // len(_SHIFTS)]], axis=1)
    return shifts, np.asarray((scores[0] + scores[1]) / 2, np.float32)


def _spectrum(grey: NDArray[np.float32]) -> NDArray[np.complex64]:
    mean = (grey * _WINDOW).sum(axis=(1, 2), keepdims=True) / _WINDOW.sum()
    return np.asarray(np.fft.rfft2((grey - mean) * _WINDOW), np.complex64)


def _gain(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Squared response of a difference of Gaussians, and the weights that turn a half spectrum into an energy."""
    squared = np.fft.fftfreq(SIDE)[:, None] ** 2 + np.fft.rfftfreq(SIDE) ** 2
    gain = (np.exp(-2 * np.pi**2 * low**2 * squared) - np.exp(-2 * np.pi**2 * high**2 * squared)) ** 2
    twice = np.full(gain.shape[1], 2.0)
    twice[[0, -1]] = 1  # the other columns stand for their mirror image as well
    return gain.astype(np.float32), (gain * twice / SIDE**2).astype(np.float32)


_GAINS = [_gain(*band) for band in _BANDS]
