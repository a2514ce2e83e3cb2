"""The section `split` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.core.params import Section


class Published(Section):
    """A part that was published with the data: the images whose path in the source begins with this folder."""

    folder: str


Share = Annotated[float, Field(gt=0, lt=1)] | Annotated[int, Field(ge=1)]


class Split(Section):
    """How the kept images are divided.

    Attributes:
        seed: of the split alone; the seeds of the cells do not touch it.
        val: share of the images (below 1), their number (whole), or the folder of a published part.
        test: the same. Copies that a published part has elsewhere are left out of the other parts.
        stratify: the same mixture of classes in train, validation and test.
        grouped: no duplicate group stands in two of them. Off only to repeat a study that leaked.
    """

    seed: int = Field(ge=0)
    val: Share | Published
    test: Share | Published
    stratify: bool = True
    grouped: bool = True
