"""How many points the copies were worth: the same variants on a published kind of split and on a clean one.

Run as `python -m studies.leak <published study> <clean study>`, after both were run; the table is `leak.csv` in the
clean one. Both train on as many pictures, for a fixed number of epochs, and every seed has a split of its own, so that
a difference does not come from more pictures, from what validation chose or from one draw of the split. It comes from
the copies, and from the classes of the training pictures: copies change how many pictures of a class are trained on.
The table says of which class the two arms differ most.

The published splits test files, the clean ones test pictures: a picture with ten copies is tested ten times as often in
the one, and pictures with many copies may be easier or harder. So a family (a picture, its copies and look-alikes)
counts once in either arm. Its weight of 1 is shared between the kinds by how often the published splits tested it with
a copy in training, and its clean accuracy enters both kinds with the same weight. So the kinds add up to the whole.
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
WEIGHTED = ("all", "copies", "apart", "others")  # a family counts once; the last three add up to the first
KINDS = {
    "raw": "every test picture counts once, as users of the published split would report",
    "all": "every family counts once",
    "copies": "a copy was trained on",
    "apart": "there are copies, and none was trained on",
    "others": "there is no copy",
}
COLUMNS = [
    "variant", "splits", "train_images", "published_images", "clean_images", "copies", "families",
    "class", "class_published", "class_clean",
    *(f"{kind}_{what}" for kind in KINDS for what in ("share", "published", "clean", "leak", "low", "high")),
]  # fmt: skip


class Arm(NamedTuple):
    """What one study left of its variants on the test pictures of every split."""

    variants: list[str]
    train: int
    tested: list[collect.Tested]
    paths: dict[str, str]  # image id -> path in the source


class Families(NamedTuple):
    """What the splits of an arm make of every family, (splits, families): accuracy, nan where it is not tested.

    `seen` says where a copy of a tested family was trained on.
    """

    right: Floats
    seen: NDArray[np.bool_]


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
    return (
        f"{row['variant']}, {KINDS[kind]}: {100 * row[f'{kind}_published']:.1f} % on published splits, "
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
    learnt = [_learnt(published, one, first.paths, group) for one in first.tested]
    sizes = Counter(group.values())
    names = sorted(sizes)
    single = np.array([sizes[name] == 1 for name in names])
    copies = [
        sum(group[first.paths[i]] in known for i in t.image_ids) for t, known in zip(first.tested, learnt, strict=True)
    ]
    rows = []
    for place, variant in enumerate(first.variants):
        one = families(first, place, names, group, learnt)
        two = families(second, place, names, group, [set()] * len(second.tested))
        raw = [np.array([t.values[place].mean(dtype=np.float64) for t in arm.tested]) for arm in (first, second)]
        row: dict[str, Any] = {
            "variant": variant,
            "splits": len(first.tested),
            "train_images": first.train,
            "published_images": len(first.tested[0].image_ids),
            "clean_images": len(second.tested[0].image_ids),
            "copies": float(np.mean(copies)),
            "families": int(_common(one, two).sum()),
            **dict(zip(("class", "class_published", "class_clean"), most_unlike(first, second), strict=True)),
        }
        found = {"raw": difference(*raw)} | {kind: weighted(one, two, single, kind) for kind in WEIGHTED}
        for kind, figures in found.items():
            row |= {f"{kind}_{key}": value for key, value in figures.items()}
        rows.append(row)
    return rows


def most_unlike(first: Arm, second: Arm) -> tuple[str, float, float]:
    """The class whose number of training pictures differs most, and its mean over the splits of either arm."""
    trained = [[one.split.counts["train"] for one in arm.tested] for arm in (first, second)]
    names = sorted({name for arm in trained for counts in arm for name in counts})
    means = {name: [float(np.mean([counts.get(name, 0) for counts in arm])) for arm in trained] for name in names}
    name = max(names, key=lambda name: abs(means[name][0] - means[name][1]))
    return name, means[name][0], means[name][1]


def difference(one: Floats, two: Floats) -> dict[str, float | None]:
    """Difference of two mean accuracies over splits, and its interval (Welch 1947).

    The splits are drawn anew from the same pictures, independently in either arm: the interval is for new splits and
    seeds of these pictures, not for other pictures.
    """
    return _interval(
        one.mean(), two.mean(), one.var(ddof=1) / len(one), two.var(ddof=1) / len(two), (len(one), len(two))
    )


def weighted(one: Families, two: Families, single: NDArray[np.bool_], kind: str) -> dict[str, float | None]:
    """The same of one kind of picture, a family once; None where there is no such picture.

    The accuracy is no mean over splits, so its variance is the jackknife's: what leaving out one split changes.
    """
    found = estimate(one, two, single, kind)
    if found is None:
        return dict.fromkeys(("share", "published", "clean", "leak", "low", "high"))
    share, published, clean = found
    variances = []
    for arm in (one, two):
        without = [Families(np.delete(arm.right, i, 0), np.delete(arm.seen, i, 0)) for i in range(len(arm.right))]
        pairs = [(less, two) if arm is one else (one, less) for less in without]
        gaps = np.array([e[1] - e[2] for pair in pairs if (e := estimate(*pair, single, kind))])
        variances.append((len(gaps) - 1) / len(gaps) * float(((gaps - gaps.mean()) ** 2).sum()))
    sizes = len(one.right), len(two.right)
    return _interval(published, clean, variances[0], variances[1], sizes) | {"share": share}


def estimate(one: Families, two: Families, single: NDArray[np.bool_], kind: str) -> tuple[float, float, float] | None:
    """Share of a kind, and its accuracy in either arm, over families that both arms test; None where it is empty."""
    common = _common(one, two)
    tested = ~np.isnan(one.right)
    of_kind = {
        "all": tested,
        "copies": tested & one.seen,
        "apart": tested & ~one.seen & ~single,
        "others": tested & ~one.seen & single,
    }[kind][:, common]
    if not of_kind.any():
        return None
    often = tested[:, common].sum(axis=0)
    weight = of_kind.sum(axis=0) / often
    right = np.where(of_kind, one.right[:, common], 0.0).sum(axis=0) / often
    clean = np.nanmean(two.right[:, common], axis=0)
    return float(weight.mean()), float(right.sum() / weight.sum()), float((weight * clean).sum() / weight.sum())


def _common(one: Families, two: Families) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(one.right).all(axis=0) & ~np.isnan(two.right).all(axis=0))


def _interval(
    published: float, clean: float, first: float, second: float, splits: tuple[int, int]
) -> dict[str, float | None]:
    """Difference of two means with these variances, Welch's degrees of freedom."""
    from scipy.special import stdtrit

    leak, total = float(published - clean), first + second
    half = 0.0
    if total > 0:
        freedom = total**2 / (first**2 / (splits[0] - 1) + second**2 / (splits[1] - 1))
        half = float(stdtrit(freedom, 1 - ALPHA / 2)) * float(np.sqrt(total))
    low, high = leak - half, leak + half
    return {"share": 1.0, "published": float(published), "clean": float(clean), "leak": leak, "low": low, "high": high}


def families(arm: Arm, place: int, names: list[str], group: dict[str, str], learnt: list[set[str]]) -> Families:
    """What a variant makes of every family of `names`; `learnt` are the families that each split trains on."""
    index = {name: number for number, name in enumerate(names)}
    right = np.full((len(arm.tested), len(names)), np.nan)
    for row, one in zip(right, arm.tested, strict=True):
        of_image = np.array([index[group[arm.paths[image]]] for image in one.image_ids])
        count = np.bincount(of_image, minlength=len(names))
        hits = np.bincount(of_image, one.values[place].mean(axis=0, dtype=np.float64), len(names))
        row[count > 0] = hits[count > 0] / count[count > 0]
    return Families(right, np.array([[name in known for name in names] for known in learnt]))


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


def _learnt(published: Path, one: collect.Tested, paths: dict[str, str], group: dict[str, str]) -> set[str]:
    """The families that a published split trains on."""
    parts = files.read_rows(published / cells.split_file(one.split.seeds[0]))
    return {group[paths[row["image_id"]]] for row in parts if row["split"] == "train"}


if __name__ == "__main__":
    errors.run(main)
