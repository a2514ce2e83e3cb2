"""How many points the copies were worth: the same variants on a published kind of split and on a clean one.

Run as `python -m studies.leak <published study> <clean study>`, after both were run; the table is `leak.csv` in the
clean one. Both train on as many pictures, for a fixed number of epochs, and every seed has a split of its own, so that
a difference comes from the copies and not from more pictures, from what validation chose or from one draw of the split.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stages.aggregate import collect
from stages.core import cells, console, errors, files, params
from stages.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.05
FEWEST = 3  # splits; ten are worth having
KINDS = ("all", "copies", "others")
COLUMNS = [
    "variant", "splits", "train_images", "published_images", "clean_images", "copies",
    *(f"{kind}_{what}" for kind in KINDS for what in ("published", "clean", "leak", "low", "high")),
]  # fmt: skip


class Arm(NamedTuple):
    """What one study left of its variants on the test pictures of every split."""

    variants: list[str]
    train: int
    tested: list[collect.Tested]
    paths: dict[str, str]  # image id -> path in the source


def main() -> None:
    """Compare two studies, print and write the table."""
    if len(sys.argv) != 3:
        raise UserError("usage: python -m studies.leak <folder of the published split> <folder of the clean split>")
    published, clean = Path(sys.argv[1]), Path(sys.argv[2])
    rows = table(published, clean)
    files.write_rows(clean / "leak.csv", COLUMNS, rows)
    for row in rows:
        for kind in KINDS:
            if row[f"{kind}_leak"] is not None:
                console.say(_said(row, kind))


def _said(row: dict[str, Any], kind: str) -> str:
    which = {"all": "all test pictures", "copies": "those that have a copy", "others": "those that have none"}[kind]
    return (
        f"{row['variant']}, {which}: {100 * row[f'{kind}_published']:.1f} % on published splits, "
        f"{100 * row[f'{kind}_clean']:.1f} % on clean ones: {100 * row[f'{kind}_leak']:+.1f} points "
        f"({100 * (1 - ALPHA):.0f} % interval {100 * row[f'{kind}_low']:.1f} to {100 * row[f'{kind}_high']:.1f}; "
        f"{row['splits']} splits)"
    )


def table(published: Path, clean: Path) -> list[dict[str, Any]]:
    """The rows of leak.csv.

    Raises:
        UserError: a cell is missing, or the two studies differ in more than the copies.
    """
    first, second = _arm(published), _arm(clean)
    _check(published, clean, first, second)
    group = _groups(clean)
    seen = [_seen(published, one, first.paths, group) for one in first.tested]
    # A picture "without a copy" has none anywhere, in either arm. In the published one, some that have a copy happen to
    # be tested without it in training. They belong to neither kind: pictures with copies may be easier or harder.
    alone = [_alone(one, second.paths, group) for one in second.tested]
    masks = (
        {"copies": seen, "others": [_alone(one, first.paths, group) for one in first.tested]},
        {"copies": [~one for one in alone], "others": alone},
    )
    rows = []
    for place, variant in enumerate(first.variants):
        row: dict[str, Any] = {
            "variant": variant,
            "splits": len(first.tested),
            "train_images": first.train,
            "published_images": len(first.tested[0].images),
            "clean_images": len(second.tested[0].images),
            "copies": float(np.mean([mask.sum() for mask in seen])),
        }
        for kind in KINDS:
            one, two = (
                _shares(arm.tested, place, of_kind.get(kind))
                for arm, of_kind in zip((first, second), masks, strict=True)
            )
            row |= {f"{kind}_{key}": value for key, value in difference(one, two).items()}
        rows.append(row)
    return rows


def difference(one: Floats, two: Floats) -> dict[str, float | None]:
    """Difference of two mean accuracies over splits, and its interval (Welch 1947); None where a kind has no picture.

    The splits are drawn anew from the same pictures, independently in either arm: the interval is for new splits and
    seeds of these pictures, not for other pictures.
    """
    from scipy.stats import ttest_ind

    if len(one) < 2 or len(two) < 2:
        return dict.fromkeys(("published", "clean", "leak", "low", "high"))
    leak = float(one.mean() - two.mean())
    low = high = leak
    if one.var() + two.var() > 0:
        low, high = ttest_ind(one, two, equal_var=False).confidence_interval(1 - ALPHA)
    means = {"published": float(one.mean()), "clean": float(two.mean())}
    return {**means, "leak": leak, "low": float(low), "high": float(high)}


def _shares(tested: list[collect.Tested], place: int, masks: list[NDArray[np.bool_]] | None) -> Floats:
    """Accuracy of a variant on all pictures, or on some, of every split that has any."""
    pairs = zip(tested, masks or [np.ones(len(one.images), dtype=bool) for one in tested], strict=True)
    return np.array([one.values[place][:, mask].mean() for one, mask in pairs if mask.any()], dtype=np.float64)


def _arm(folder: Path) -> Arm:
    with contextlib.chdir(folder):
        study = params.read()
        found = collect.read(study.cells)
        chosen = [cell.variant for cell in found if cell.config["cell"].get("checkpoint") != "last"]
        if chosen:
            raise UserError(
                f"{folder}/params.yaml: `train.checkpoint` of {chosen[0]} must be `last`: a validation set with copies "
                "chooses other epochs than a clean one"
            )
        tested = collect.tested(found, "top1")
        paths = {row["image_id"]: row["path"] for row in files.read_rows("data/clean/ledger.csv") if row["image_id"]}
    return Arm(list(study.variants), tested[0].split.images("train"), tested, paths)


def _check(published: Path, clean: Path, first: Arm, second: Arm) -> None:
    if first.variants != second.variants:
        raise UserError(f"{published} and {clean} have different variants; only the same can be compared")
    if first.train != second.train:
        raise UserError(
            f"{published} trains on {first.train} pictures and {clean} on {second.train}: set `split.train` in both to "
            "one number, or the difference is also that of the training size"
        )
    for folder, arm in ((published, first), (clean, second)):
        if len(arm.tested) < FEWEST:
            raise UserError(
                f"{folder}/params.yaml: `split.per_seed: true` and {FEWEST} seeds or more are needed, better ten: one "
                "split moves the result by more than the copies do"
            )


def _groups(clean: Path) -> dict[str, str]:
    """Path in the source -> group of pictures that are copies or look-alikes, as the clean study found them."""
    groups = {row["image_id"]: row["group_id"] for row in files.read_rows(clean / "data/clean/manifest.csv")}
    # A file's group is that of the picture that was kept in its place; a quarantined file is alone.
    return {
        row["path"]: groups.get(row["image_id"] or row["duplicate_of"], row["path"])
        for row in files.read_rows(clean / "data/clean/ledger.csv")
    }


def _seen(published: Path, one: collect.Tested, paths: dict[str, str], group: dict[str, str]) -> NDArray[np.bool_]:
    """Which of the test pictures of a published split have a copy among those that were trained on."""
    parts = files.read_rows(published / cells.split_file(one.split.seeds[0]))
    learnt = {group[paths[row["image_id"]]] for row in parts if row["split"] == "train"}
    return np.array([group[paths[image]] in learnt for image in one.images])


def _alone(one: collect.Tested, paths: dict[str, str], group: dict[str, str]) -> NDArray[np.bool_]:
    """Which of the test pictures have neither a copy nor a look-alike in the whole source."""
    sizes = Counter(group.values())
    return np.array([sizes[group[paths[image]]] == 1 for image in one.images])


if __name__ == "__main__":
    errors.run(main)
