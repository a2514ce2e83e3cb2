"""The section `aggregate` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.core.params import Section


class Aggregate(Section):
    """How cells are summed up and compared."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    bootstrap: Annotated[int, Field(ge=200)] = 2000
