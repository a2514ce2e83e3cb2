"""The section `aggregate` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from stages.core.params import Section

Fraction = Annotated[float, Field(ge=0, le=1)]


class Fit(Section):
    """When a variant counts as underfit or overfit: a rule holds if it does for the whole interval over the seeds.

    A rule whose limit lies within the interval is open. The first rule that holds gives the verdict; if none holds and
    one is open, the verdict is `not decided`.
    """

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


class Audit(Section):
    """Likely label errors among all kept pictures: each is judged by models that were fitted to other pictures."""

    folds: Annotated[int, Field(ge=0, le=100)] = 0  # 0: no audit; 5: each fifth is judged by the other four
    architecture: str = "tf_efficientnet_lite0"  # a name of timm, with ImageNet weights; it stays as it is
    size: Annotated[int, Field(ge=8, le=1024)] = 224  # px; every picture becomes a square of this side
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # of the folds
    most: Annotated[int, Field(ge=0)] = 200  # listed

    @field_validator("folds")
    @classmethod
    def _no_single_fold(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves no other pictures to judge by; 0 is no audit, 2 or more are folds")
        return folds


class Aggregate(Section):
    """How cells are summed up and compared.

    Attributes:
        alpha: intervals cover 1 - alpha; the family of all comparisons has this error.
        compare: the metric that variants are compared and ranked by; chosen before the figures are seen.
        margin: two variants are equal when they are shown to differ by less, in units of the metric (0.01: a point).
        fit: rules of the verdict on learning curves.
        suspects: rules of likely label errors among validation and test images.
        audit: likely label errors among all images, those of training too.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    compare: Literal["top1", "balanced_accuracy", "macro_f1", "nll", "robustness_drop"] = "top1"
    margin: Annotated[float, Field(gt=0)] = 0.01
    fit: Fit = Fit()
    suspects: Suspects = Suspects()
    audit: Audit = Audit()
