"""The section `evaluate` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.core.params import Section


class Evaluate(Section):
    """How every cell is evaluated; the same for all of them, so that their figures can be compared."""

    top_k: Annotated[int, Field(ge=2)] = 5
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
