"""Changes of graded strength to uint8 images, all by torchvision; each but `jpeg` has a strength that changes no bit.

What comes in from outside of the picture repeats its border, so that a black rim is not one more change. Rotations
take turns between two directions from image to image, shifts between four, the same for every cell.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812 - torchvision's own name for it

from stages.core import seeding

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

CHUNK = 256  # images at a time; a multiple of 4, so that directions take turns over chunks as within them
_PIXELS = 1 << 20  # changed at once, but for noise, which is drawn for a whole chunk


def rotation(images: Tensor, strength: float, _position: int) -> Tensor:
    """Turn by `strength` degrees clockwise, every other image the other way."""
    return _alternating(images, [{"angle": strength}, {"angle": -strength}])


def shift(images: Tensor, strength: float, _position: int) -> Tensor:
    """Move by `strength` of the side, both along and across, towards the four corners in turn."""
    height, width = images.shape[-2] * strength, images.shape[-1] * strength
    corners = [(1, 1), (-1, 1), (1, -1), (-1, -1)]
    return _alternating(images, [{"translate": [x * width, y * height]} for x, y in corners])


def scale(images: Tensor, strength: float, _position: int) -> Tensor:
    """Magnify by `strength` about the centre."""
    return _alternating(images, [{"scale": strength}])


def horizontal_flip(images: Tensor, strength: float, _position: int) -> Tensor:
    """Mirror left and right; strength 0 or 1."""
    return cast("Tensor", F.horizontal_flip(images)) if strength else images


def vertical_flip(images: Tensor, strength: float, _position: int) -> Tensor:
    """Mirror top and bottom; strength 0 or 1."""
    return cast("Tensor", F.vertical_flip(images)) if strength else images


def brightness(images: Tensor, strength: float, _position: int) -> Tensor:
    """Multiply by `strength`."""
    return cast("Tensor", F.adjust_brightness(images, strength))


def blur(images: Tensor, strength: float, _position: int) -> Tensor:
    """Gaussian blur with an SD of `strength` of the side."""
    sigma, side = strength * images.shape[-1], min(images.shape[-2:])
    if sigma == 0:
        return images
    radius = min(max(1, math.ceil(3 * sigma)), side - 1)  # reflection reaches no further
    # Along and then across: a kernel as wide as high takes seconds a picture at a tenth of 224 px.
    along = F.gaussian_blur(images.float(), [2 * radius + 1, 1], [sigma, sigma])
    return cast("Tensor", F.gaussian_blur(along, [1, 2 * radius + 1], [sigma, sigma]).round().to(torch.uint8))


def noise(images: Tensor, strength: float, position: int) -> Tensor:
    """Add Gaussian noise with an SD of `strength` of full white, which depends on the `position` of the first image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.number(0, "noise", position))
        return cast("Tensor", F.gaussian_noise(images, sigma=strength))


def jpeg(images: Tensor, strength: float, _position: int) -> Tensor:
    """Compress as JPEG of quality `strength` (1 to 100)."""
    return torch.stack([F.jpeg(image, int(strength)) for image in images])


# The change of images, a strength, and the position of the first one; the strength that leaves the images as they are.
TRANSFORMS: dict[str, tuple[Callable[[Tensor, float, int], Tensor], float | None]] = {
    "rotation": (rotation, 0),
    "shift": (shift, 0),
    "scale": (scale, 1),
    "horizontal_flip": (horizontal_flip, 0),
    "vertical_flip": (vertical_flip, 0),
    "brightness": (brightness, 1),
    "blur": (blur, 0),
    "noise": (noise, 0),
    "jpeg": (jpeg, None),  # even quality 100 loses something
}


def apply(name: str, images: Tensor, strength: float, position: int = 0) -> Tensor:
    """Change images by the transform `name`.

    Args:
        name: a key of TRANSFORMS.
        images: uint8 (images, 3, height, width), on the CPU.
        strength: in the unit of that transform.
        position: of the first image in the test set, a multiple of CHUNK, which the noise depends on.

    Returns:
        uint8, same shape.
    """
    fit = _PIXELS // (images.shape[-2] * images.shape[-1]) // 4 * 4
    step = CHUNK if name == "noise" else min(max(fit, 4), CHUNK)
    (change, _), starts = TRANSFORMS[name], range(0, len(images), step)
    return torch.cat([change(images[start : start + step], strength, position + start) for start in starts])


def _alternating(images: Tensor, moves: list[dict[str, float | list[float]]]) -> Tensor:
    """Apply the moves to the images in turn."""
    out = torch.empty_like(images)
    for index, move in enumerate(moves):
        if index < len(images):
            out[index :: len(moves)] = _affine(images[index :: len(moves)], **move)  # type: ignore[arg-type]
    return out


def _affine(
    images: Tensor, angle: float = 0.0, translate: tuple[float, float] = (0.0, 0.0), scale: float = 1.0
) -> Tensor:
    """`torchvision.affine` with the border repeated outwards, for which it has no option itself."""
    height, width = images.shape[-2:]
    reach = max(height, width) * max(math.sqrt(2) / min(scale, 1.0) - 1, 0) / 2
    margin = math.ceil(reach + max(abs(x) for x in translate)) + 2
    padded = F.pad(images, [margin] * 4, padding_mode="edge")
    moved = F.affine(padded, angle, list(translate), scale, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR)
    return cast("Tensor", F.center_crop(moved, [height, width]))
