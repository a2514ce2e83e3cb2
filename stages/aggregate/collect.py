"""Read every cell that params.yaml asks for; a missing cell is named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.aggregate import values
from stages.core import cells, files
from stages.core.errors import UserError
from stages.core.metrics import FEWEST_GROUPS, equal_groups

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from stages.aggregate.values import GroupSizes

MANIFEST = "data/clean/manifest.csv"


@dataclass(frozen=True)
class CellResults:
    """What train and evaluate left of one cell."""

    variant: str
    seed: int
    config: dict[str, Any]
    metrics: dict[tuple[str, str], float]  # (part, metric) -> value; part is train, val or test
    history: list[dict[str, str]]
    predictions: pd.DataFrame


@dataclass(frozen=True)
class SharedSplit:
    """One split of the study: the seeds that share it, and its images, part -> label -> number."""

    seeds: list[int]
    counts: dict[str, dict[str, int]]

    def images(self, part: str) -> int:
        """How many images a part has."""
        return sum(self.counts[part].values())


@dataclass(frozen=True)
class Tested:
    """The test images of one split and what the cells make of them, (variants, seeds, images), in params.yaml's order.

    `values` average to the metric that is compared, `predicted` are the classes as numbers, `groups` says which images
    are drawn together (copies, look-alikes, one patient). `added` (variants,) is the variance that small classes hide
    (`values.two_more`).
    """

    split: SharedSplit
    image_ids: list[str]
    groups: list[str]
    values: NDArray[Any]
    predicted: NDArray[np.int64]
    added: NDArray[np.float64]

    @property
    def blocks(self) -> NDArray[Any]:
        """The values, one for each group of images."""
        return values.blocks(self.values, self.groups)

    @property
    def group_sizes(self) -> GroupSizes:
        """The sizes of the groups; a metric of the whole cell has one value, so no groups."""
        if self.values.shape[-1] != len(self.groups):
            return values.GroupSizes.alike(1)
        return values.group_sizes(self.groups)


def read(wanted: list[tuple[str, int]]) -> list[CellResults]:
    """Read the cells `wanted`, in that order.

    Raises:
        UserError: cells are missing (all are named), or cells of one split were evaluated on different images.
    """
    missing = [
        f"{variant} seed {seed}" for variant, seed in wanted if not cells.evaluate_folder(variant, seed).exists()
    ]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(wanted)} cells are not there: {', '.join(missing)}; "
            "`dvc repro --keep-going` makes them"
        )
    found = [_read(variant, seed) for variant, seed in wanted]
    for split in splits():
        _same_images([cell for cell in found if cell.seed in split.seeds])
    return found


def splits() -> list[SharedSplit]:
    """The splits of the study: one, or with `split.per_seed` one for each seed or for some of them."""
    summary = files.read_json(cells.SPLIT / "summary.json", cells.SplitSummary)
    return [SharedSplit(entry["seeds"], entry["counts"]) for entry in summary["splits"]]


def tested(found: list[CellResults], metric: str) -> list[Tested]:
    """The test images of every split, and what the cells make of them.

    Where they are worth fewer than `FEWEST_GROUPS` equal groups, every image is drawn by itself: the figures then hold
    for these groups.
    """
    group = {row["image_id"]: row["group_id"] for row in files.read_rows(MANIFEST)}
    tables = [cell.predictions for cell in found]
    tested_ids = {image for table in tables for image in table.loc[table["split"] == "test", "image_id"]}
    if equal_groups(Counter(group.get(image, image) for image in tested_ids).values()) < FEWEST_GROUPS:
        group = {}
    every = []
    for split in splits():
        inside = [cell for cell in found if cell.seed in split.seeds]
        table = inside[0].predictions
        ids = table[table["split"] == "test"]["image_id"].tolist()
        groups = [group.get(image, image) for image in ids]
        shown = values.of(inside, metric), values.predicted(inside), values.two_more(inside, metric)
        every.append(Tested(split, ids, groups, *shown))
    return every


def _read(variant: str, seed: int) -> CellResults:
    train, evaluate = cells.train_folder(variant, seed), cells.evaluate_folder(variant, seed)
    rows = files.read_rows(evaluate / "metrics.csv", ["value"])
    predictions = files.read_frame(
        evaluate / "predictions.parquet", ("split", "image_id", "label", "predicted"), ("confidence", "loss")
    )
    metrics = {(row["split"], row["metric"]): float(row["value"]) for row in rows}
    return CellResults(
        variant,
        seed,
        files.read_json(train / "config.json"),
        metrics,
        files.read_rows(train / "history.csv", cells.HISTORY),
        predictions,
    )


def _same_images(found: list[CellResults]) -> None:
    first = found[0]
    keys = first.predictions[["split", "image_id", "label"]]
    for cell in found[1:]:
        if not keys.equals(cell.predictions[["split", "image_id", "label"]]):
            raise UserError(
                f"{first.variant} seed {first.seed} and {cell.variant} seed {cell.seed} were evaluated on different "
                "images; figures of different sets cannot be compared: `dvc repro` brings all cells to one split"
            )
