"""The section `evaluate` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from stages.core.params import Section

Whole = Annotated[int, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Robustness(Section):
    """Which changes the test images go through, and how strong; an empty list leaves a change out.

    Each change has a strength that leaves the image as it is; its row is written without being listed here.
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


class GradCam(Section):
    """Where the network looks."""

    px: Annotated[int, Field(ge=8, le=512)] = 64
    classes: Whole = 10
    shared: Whole = 8
    coarsest: PositiveInt = 4
    layers: dict[str, str] = Field(default={})


class Evaluate(Section):
    """How every cell is evaluated; the same for all of them, so that their figures can be compared."""

    top_k: Annotated[int, Field(ge=2)] = 5
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
    robustness: Robustness = Robustness()
    gradcam: GradCam = GradCam()
