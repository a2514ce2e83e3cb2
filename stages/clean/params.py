"""The section `clean` of params.yaml, and what the section `ingest` says of small classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from stages.core.params import Section


class Match(Section):
    """Which pairs of pictures are compared, when they are similar, and when one is a copy of the other."""

    min_side: int = Field(default=16, ge=1)
    distance: int = Field(default=8, ge=0, le=16)
    votes: int = Field(default=4, ge=2)
    cosine: float = Field(default=0.76, gt=0, le=1)
    nearest: int = Field(default=8, ge=1)
    inliers: int = Field(default=6, ge=4)
    tiles: int = Field(default=6, ge=1)
    agree: float = Field(default=0.5, gt=0, le=1)
    part: float = Field(default=0.2, gt=0, le=1)
    part_agree: float = Field(default=0.55, gt=0, le=1)
    part_inliers: int = Field(default=12, ge=4)
    small_structure: float = Field(default=0.66, gt=0, le=1)
    small_moved: float = Field(default=0.07, ge=0)
    small_detail: float = Field(default=0.88, gt=0, le=1)
    small_colour: float = Field(default=0.85, gt=0, le=1)
    small_overlap: float = Field(default=0.6, gt=0, le=1)
    turned: Literal["keep", "drop"] = "keep"
    drop_overlap: float = Field(default=0.8, gt=0, le=1)
    drop_agree: float = Field(default=0.97, gt=0, le=1)
    drop_colour: float = Field(default=0.97, gt=0, le=1)
    drop_difference: float = Field(default=3.0, gt=1)
    drop_grain: float = Field(default=0.4, gt=0, le=1)
    drop_moved: float = Field(default=0.005, ge=0)
    drop_contrast: float = Field(default=0.0, ge=0)
    drop_soft: float = Field(default=1.0, gt=0)
    drop_level: float = Field(default=3.0, gt=0)
    drop_small_worst: float = Field(default=0.9, gt=0, le=1)
    drop_small_detail: float = Field(default=0.98, gt=0, le=1)
    max_group: int = Field(default=50, ge=2)


class Clean(Section):
    """What is let in, what counts as a duplicate, and what becomes of it."""

    duplicates: Literal["drop", "group", "ignore"] = "drop"
    label_conflicts: Literal["keep_none", "keep_majority", "keep_all", "fail"] = "keep_none"
    min_side: int = Field(default=4, ge=1)
    max_pixels: int = Field(default=100_000_000, ge=1)
    max_bytes: int = Field(default=200_000_000, ge=1)
    truncated_min_visible: float = Field(default=1.0, gt=0, le=1)
    corrupt_data: Literal["quarantine", "keep"] = "quarantine"
    seconds: float = Field(default=60, gt=0, le=86_400)
    gigabytes: float = Field(default=4, gt=0, le=100_000)
    workers: int = Field(default=0, ge=0, le=256)
    match: Match = Match()


@dataclass(frozen=True)
class SmallClasses:
    """`ingest.min_images` and `ingest.small_classes`: what counts is what is left after cleaning."""

    least: int = 1
    fate: str = "drop"

    @classmethod
    def of(cls, section: object) -> SmallClasses:
        """What the section `ingest` asks for; `cells` and `ingest` check what stands there."""
        values: dict[str, Any] = section if isinstance(section, dict) else {}
        return cls(values.get("min_images", 1), values.get("small_classes", "drop"))
