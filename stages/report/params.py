"""The section `report` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from stages.core.params import Section

Whole = Annotated[int, Field(ge=0)]


class Samples(Section):
    """Which test images the page shows, and how large."""

    px: Annotated[int, Field(ge=8, le=512)] = 64
    classes: PositiveInt = 10
    per_class: Whole = 1
    grid: Whole = 25
    confused: Whole = 15


class ReportParams(Section):
    """What the page shows; none of these settings changes a number.

    Attributes:
        metrics: columns of the results table, in order; names as in `reports/summary.csv`. One that a study does not
            have (top5 with few classes) is left out; the compared metric has a column in any case.
        matrix_classes: up to so many classes a confusion matrix is a table of numbers; above, a picture and the pairs.
        pairs: the most confused pairs shown for each variant.
        samples: test images with the predictions of the variants.
        suspects: images in the gallery of likely label errors.
        published: CSV of what systems were reported to reach, by the name of the variant; see `studies/README.md`.
        leak: CSV that `python -m studies.leak` wrote; without rows of this study's variants there is no such section.
    """

    metrics: list[str] = Field(
        default=["top1", "top5", "balanced_accuracy", "macro_f1", "mcc", "auroc", "loss"], min_length=1
    )
    matrix_classes: int = Field(default=20, ge=2, le=60)
    pairs: int = Field(default=15, ge=1)
    samples: Samples = Samples()
    suspects: int = Field(default=24, ge=0, le=200)
    published: str
    leak: str
