"""The section `clean` of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.core.params import Section


class LocalFeatures(Section):
    """Which pictures are compared by SIFT features, and when a part that two share keeps them together."""

    features: int = Field(default=150, ge=8, le=1000)
    side: int = Field(default=192, ge=64)
    min_side: int = Field(default=96, ge=16)
    up_to: int = Field(default=1000, ge=2)
    ratio: float = Field(default=0.8, gt=0, lt=1)
    inliers: int = Field(default=6, ge=4)
    area: float = Field(default=0.25, gt=0, le=1)
    detail: float = Field(default=0.65, gt=0, le=1)
    colour: float = Field(default=0.6, gt=0, le=1)


class Match(Section):
    """When two pictures count as similar, and when as the same. Correlations are of grey values, -1 to 1."""

    min_side: int = Field(default=16, ge=1)
    distance: int = Field(default=8, ge=0, le=16, multiple_of=2)
    cosine: float = Field(default=0.82, gt=0, le=1)
    few: int = Field(default=2000, ge=0)
    cosine_few: float = Field(default=0.72, gt=0, le=1)
    exhaustive_up_to: int = Field(default=100_000, ge=0)
    group_detail: float = Field(default=0.88, gt=0, le=1)
    group_colour: float = Field(default=0.85, gt=0, le=1)
    group_overlap: float = Field(default=0.6, gt=0, le=1)
    drop_detail: float = Field(default=0.98, gt=0, le=1)
    drop_worst: float = Field(default=0.9, gt=0, le=1)
    drop_colour: float = Field(default=0.97, gt=0, le=1)
    drop_overlap: float = Field(default=0.8, gt=0, le=1)
    max_group: int = Field(default=50, ge=2)
    local: LocalFeatures | None = LocalFeatures()


class Clean(Section):
    """What is let in, what counts as a duplicate, and what becomes of it."""

    duplicates: Literal["drop", "group", "ignore"] = "drop"
    label_conflicts: Literal["keep_none", "keep_majority", "keep_all", "fail"] = "keep_none"
    min_side: int = Field(default=4, ge=1)
    max_pixels: int = Field(default=100_000_000, ge=1)
    max_bytes: int = Field(default=200_000_000, ge=1)
    truncated_min_visible: float = Field(default=1.0, gt=0, le=1)
    corrupt_data: Literal["quarantine", "keep"] = "quarantine"
    seconds: float = Field(default=60, gt=0)
    gigabytes: float = Field(default=4, gt=0)
    workers: int = Field(default=0, ge=0)
    match: Match = Match()
