"""The section `aggregate` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.core.params import Section

Fraction = Annotated[float, Field(ge=0, le=1)]


class Fit(Section):
    """When a variant counts as underfit or overfit; figures are means over its seeds."""

    gap: Fraction = 0.1
    low: Fraction = 0.5
    fall: Fraction = 0.05
    rise: Annotated[float, Field(ge=0)] = 0.1
    floor: Fraction = 0.01


class Suspects(Section):
    """When an unseen image counts as a likely label error."""

    share: Fraction = 0.5
    confidence: Fraction = 0.5
    most: Annotated[int, Field(ge=0)] = 200


class Aggregate(Section):
    """How cells are summed up and compared."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    bootstrap: Annotated[int, Field(ge=200)] = 2000
    fit: Fit = Fit()
    suspects: Suspects = Suspects()
