"""How many points the copies were worth: the same variants on a published split and on a clean one.

Run as `python -m studies.leak <published study> <clean study>`, after both were run; the table is `leak.csv` in the
clean one.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stages.aggregate import collect, compare
from stages.core import cells, console, errors, files, params
from stages.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA = 0.05
COLUMNS = (
    "variant", "seeds", "published_top1", "clean_top1", "leak", "low", "high",
    "published_images", "clean_images", "copies", "copies_top1", "others_top1",
)  # fmt: skip


class Arm(NamedTuple):
    """What one study left of its variants on its test images."""

    variants: list[str]
    seeds: list[int]
    right: NDArray[np.int64]  # 1 or 0, (variants, seeds, images)
    images: list[str]  # image ids, as the last axis of `right`


def main() -> None:
    """Compare two studies, print and write the table."""
    if len(sys.argv) != 3:
        raise UserError("usage: python -m studies.leak <folder of the published split> <folder of the clean split>")
    published, clean = Path(sys.argv[1]), Path(sys.argv[2])
    rows = table(published, clean)
    files.write_rows(clean / "leak.csv", COLUMNS, rows)
    for row in rows:
        console.say(
            f"{row['variant']}: {100 * row['published_top1']:.1f} % on the published split, "
            f"{100 * row['clean_top1']:.1f} % on the clean one: the copies were worth {100 * row['leak']:.1f} points "
            f"({100 * (1 - ALPHA):.0f} % interval {100 * row['low']:.1f} to {100 * row['high']:.1f}; "
            f"{row['seeds']} seeds)"
        )


def table(published: Path, clean: Path) -> list[dict[str, Any]]:
    """The rows of leak.csv.

    The two sets of test images differ, so the arms are independent (Welch); within an arm both the images and the seeds
    vary, as in `stages.aggregate.compare`. `copies` are the published test images with a copy in train or validation.

    Raises:
        UserError: a cell is missing, or the two studies have different variants or seeds.
    """
    first, second = _arm(published), _arm(clean)
    if (first.variants, first.seeds) != (second.variants, second.seeds):
        raise UserError(f"{published} and {clean} have different variants or seeds; only the same can be compared")
    seen = _seen(published, clean, first.images, first.seeds[0])
    rows = []
    for i, variant in enumerate(first.variants):
        one, two = first.right[i], second.right[i]
        leak, low, high = difference(one, two)
        rows.append(
            {
                "variant": variant,
                "seeds": len(first.seeds),
                "published_top1": float(one.mean()),
                "clean_top1": float(two.mean()),
                "leak": leak,
                "low": low,
                "high": high,
                "published_images": one.shape[1],
                "clean_images": two.shape[1],
                "copies": int(seen.sum()),
                "copies_top1": float(one[:, seen].mean()) if seen.any() else None,
                "others_top1": float(one[:, ~seen].mean()) if not seen.all() else None,
            }
        )
    return rows


def difference(one: NDArray[np.int64], two: NDArray[np.int64]) -> tuple[float, float, float]:
    """Difference of two accuracies, each (seeds, images), and its interval (Welch 1947)."""
    from scipy import stats

    means, variances, freedoms = [], [], []
    for right in (one, two):
        # An arm by itself is its difference to one that is always wrong.
        parts = compare.spread(np.stack([right, np.zeros_like(right)]), [(0, 1)])
        variance, freedom = parts.variance()
        means.append(float(parts.difference[0]))
        variances.append(float(variance[0]))
        freedoms.append(float(freedom[0]))
    total = sum(variances)
    if total == 0:
        return means[0] - means[1], means[0] - means[1], means[0] - means[1]
    satterthwaite = total**2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    half = float(stats.t.ppf(1 - ALPHA / 2, satterthwaite)) * total**0.5
    return means[0] - means[1], means[0] - means[1] - half, means[0] - means[1] + half


def _arm(folder: Path) -> Arm:
    with contextlib.chdir(folder):
        study = params.read()
        found = collect.read(study.cells)
        if len(collect.splits()) > 1:
            raise UserError(
                f"{folder}/params.yaml: `split.per_seed` must be false: two studies are compared split by split"
            )
    predictions = found[0].predictions
    images = predictions[predictions["split"] == "test"]["image_id"].tolist()
    return Arm(list(study.variants), study.seeds, collect.correct(found), images)


def _seen(published: Path, clean: Path, images: list[str], seed: int) -> NDArray[np.bool_]:
    """Which of the published test images have a copy in train or validation, as cleaning found it."""
    groups = {row["image_id"]: row["group_id"] for row in files.read_rows(clean / "data/clean/manifest.csv")}
    # A file's group is that of the picture that was kept in its place; a quarantined file is alone.
    group = {
        row["path"]: groups.get(row["image_id"] or row["duplicate_of"], row["path"])
        for row in files.read_rows(clean / "data/clean/ledger.csv")
    }
    path = {row["image_id"]: row["path"] for row in files.read_rows(published / "data/clean/ledger.csv")}
    parts = files.read_rows(published / cells.split_file(seed))
    learnt = {group[path[row["image_id"]]] for row in parts if row["split"] != "test"}
    return np.array([group[path[image]] in learnt for image in images])


if __name__ == "__main__":
    errors.run(main)
