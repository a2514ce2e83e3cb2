"""The section `evaluate` of params.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from stages.core.params import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

Whole = Annotated[int, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Robustness(Section):
    """Which changes the test images go through, and how strong; an empty list leaves a change out.

    Each change but `jpeg` has a strength that leaves the image as it is; its row is written without being listed here.

    Attributes:
        images: how many test images, the same for every cell; null: all.
        rotation: degrees, clockwise and anticlockwise in turn.
        shift: fraction of the side, along and across, towards the four corners in turn.
        scale: factor; above 1 the object grows.
        flip: mirror left and right, and top and bottom: two changes.
        brightness: factor.
        blur: SD as a fraction of the side.
        noise: SD as a fraction of full white.
        jpeg: quality.
    """

    images: PositiveInt | None = None
    rotation: list[Annotated[float, Field(gt=0, le=180)]] = Field(default=[15.0, 45.0, 90.0, 180.0])
    shift: list[Share] = Field(default=[0.1, 0.3, 0.4])
    scale: list[Above0] = Field(default=[0.5, 0.8, 1.25, 2.0])
    flip: bool = True
    brightness: list[Annotated[float, Field(ge=0)]] = Field(default=[0.5, 1.5])
    blur: list[Share] = Field(default=[0.02, 0.05, 0.1])
    noise: list[Share] = Field(default=[0.05, 0.1, 0.2])
    jpeg: list[Annotated[int, Field(ge=1, le=100)]] = Field(default=[50, 20, 10])

    def strengths(self) -> dict[str, Sequence[float]]:
        """The strengths of each change, under its name in `transforms.TRANSFORMS`."""
        flips = [1.0] * self.flip
        return {
            "rotation": self.rotation,
            "shift": self.shift,
            "scale": self.scale,
            "horizontal_flip": flips,
            "vertical_flip": flips,
            "brightness": self.brightness,
            "blur": self.blur,
            "noise": self.noise,
            "jpeg": self.jpeg,
        }


class GradCam(Section):
    """Where the network looks.

    Attributes:
        px: longest side of an overlay; smaller pictures are not magnified.
        classes: of so many of the largest classes, the surest right and the surest wrong test image.
        shared: so many test images, the same for every cell, to see whether seeds look at the same place.
        coarsest: fewest cells along a side of a feature map; a network with a coarser map is skipped.
        layers: variant -> name of a module, instead of the one that is chosen by itself.
    """

    px: Annotated[int, Field(ge=8, le=512)] = 64
    classes: Whole = 10
    shared: Whole = 8
    coarsest: PositiveInt = 4
    layers: dict[str, str] = Field(default={})


class Evaluate(Section):
    """How every cell is evaluated; the same for all of them, so that their figures can be compared.

    Attributes:
        top_k: the metric `top<k>` is left out where there are not more classes than k.
        calibration_bins: bins of confidence, of equal width, for the reliability curve and the ECE.
        robustness: the test images are changed by so much; an empty list leaves a change out.
        gradcam: pictures of where the network looks.
    """

    top_k: Annotated[int, Field(ge=2)] = 5
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
    robustness: Robustness = Robustness()
    gradcam: GradCam = GradCam()
