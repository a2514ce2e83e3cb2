"""The section `aggregate` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

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
    """How cells are summed up and compared.

    Attributes:
        alpha: intervals cover 1 - alpha; the family of all comparisons has this error.
        compare: the metric that variants are compared and ranked by; chosen before the figures are seen.
        margin: two variants are practically equal when they differ by less, in units of the metric (0.01: a point).
        fit: rules of the verdict on learning curves.
        suspects: rules of likely label errors.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    compare: Literal["top1", "balanced_accuracy", "macro_f1", "nll", "robustness_drop"] = "top1"
    margin: Annotated[float, Field(gt=0)] = 0.01
    fit: Fit = Fit()
    suspects: Suspects = Suspects()
