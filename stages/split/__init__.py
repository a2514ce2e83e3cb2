"""Stage `split`: train, validation and test; stratified, seeded, and no group of pictures across two of them.

scikit-learn's StratifiedGroupKFold makes equal folds only; shares and counts of one's own need the assignment below.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.core.cells import PARTS
from stages.core.errors import UserError
from stages.core.folders import level_advice, listed
from stages.core.seeding import generator
from stages.split.params import Groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stages.split.params import Published, Split

    Ints = NDArray[np.int64]

DEALT = PARTS[::-1]  # test, val, train: the order in which parts get images, so that train takes what is left
OUTSIDE = ("left_out", "unused")


class TooFewError(UserError):
    """A class has too few images for every part to have one. label: of the class."""

    def __init__(self, message: str, label: str) -> None:
        super().__init__(message)
        self.label = label


@dataclass(frozen=True)
class Images:
    """The images that are divided: parallel sequences.

    Attributes:
        labels: of the images.
        groups: images of one group stay together.
        paths: in the source; needed for published parts alone.
        named: the user's name for the group of each image, empty where it has none; needed for groups that are held out
            alone.
    """

    labels: Sequence[str]
    groups: Sequence[str]
    paths: Sequence[str] = ()
    named: Sequence[str] = ()


def assign(images: Images, split: Split, draw: Sequence[int] = (), fold: int | None = None) -> list[str]:
    """Give every image its part.

    Published parts and groups that are held out come first. Of the rest whole groups are dealt, the largest first, in
    a random order among equals, each to a part drawn in proportion to what the part still lacks, among the parts that
    can take the group without exceeding any class's share. Single images come last and fill the shares exactly. If a
    part then lacks a class, since its groups are larger than the share, it takes a small one from train. A training
    set that is smaller than what is left is drawn at the end, so that validation and test are the same with and without
    `train`.

    Args:
        images: which are divided.
        split: shares and seed.
        draw: numbers that tell several splits of one seed apart (`params.Drawing`); none for the only one.
        fold: the fold that is tested, of `split.folds`.

    Returns:
        `train`, `val` or `test` for each image; `left_out` for one that belongs to an image of a published part or of a
        group that is held out, and `unused` for what `train` does not want.

    Raises:
        TooFewError: a class is too small to stand in every part.
        UserError: the shares leave no train images, or a published part or a group that is held out is empty.
    """
    names, classes = np.unique(np.asarray(images.labels), return_inverse=True)
    if len(names) < 2:
        raise UserError(
            f"there is one class only (`{names[0]}`), so there is nothing to tell apart; "
            + (level_advice(images.paths) or "is `ingest.label` right?")
            if len(names)
            else "no image was kept, so there is nothing to split; data/clean/ledger.csv says why"
        )
    total = len(classes)
    _, members = np.unique(np.asarray(images.groups if split.grouped else range(total)), return_inverse=True)
    parts = np.full(total, "", dtype="<U8")
    for part, chosen in split.held_out.items():
        inside = _held_out(part, chosen, images) & (parts == "")
        parts[inside] = part
        parts[(parts == "") & np.isin(members, members[inside])] = "left_out"
    strata = classes if split.stratify else np.zeros_like(classes)
    if fold is not None and split.folds is not None:
        rng = generator(split.seed, "folds", *draw)
        parts[(parts == "") & (_fold_of_each(strata, members, split.folds, rng) == fold)] = "test"
    rest = parts == ""
    quotas = _quotas(strata[rest], names, split, total)
    parts[rest] = _part_of_each(strata[rest], members[rest], quotas, generator(split.seed, "split", *draw))
    if split.train is not None:
        inside = np.flatnonzero(parts == "train")
        kept = _subset(strata[inside], members[inside], split, total, generator(split.seed, "train", *draw))
        parts[inside[~kept]] = "unused"
    _check_whole(parts.tolist(), images, members, split)
    return [str(part) for part in parts]


def _held_out(part: str, chosen: Published | Groups, images: Images) -> NDArray[np.bool_]:
    """Which images stand in a published part, or in the groups that are held out."""
    if isinstance(chosen, Groups):
        if missing := [name for name in chosen.groups if name not in set(images.named)]:
            known = sorted(set(images.named) - {""})
            raise UserError(
                f"params.yaml: `split.{part}.groups` names {missing[0]!r}, but no kept image has such a group; "
                + (f"the groups are {listed(known, 10)}" if known else "`ingest.group` says what the groups are")
            )
        return np.isin(np.asarray(images.named), chosen.groups)
    inside = np.array([path.startswith(chosen.prefix) for path in images.paths], dtype=np.bool_)
    if not inside.any():
        first = sorted({path.partition("/")[0] for path in images.paths if "/" in path})
        raise UserError(
            f"params.yaml: `split.{part}.folder` is {chosen.folder}, but no kept image came from a folder of that "
            f"name; the first folders are {', '.join(first[:5])}"
        )
    return inside


def _part_of_each(strata: Ints, members: Ints, quotas: Ints, rng: np.random.Generator) -> NDArray[np.str_]:
    """The part of each image; `quotas`: images that each of the DEALT parts takes of each stratum, (3, strata)."""
    table, members = _table(strata, members)
    train = DEALT.index("train")
    part_of_group = _deal_groups(table, quotas, rng, train)
    _lend_from_train(part_of_group, table, quotas, train, rng)
    return np.array(DEALT)[part_of_group[members]]


def _lend_from_train(part_of_group: Ints, table: Ints, quotas: Ints, train: int, rng: np.random.Generator) -> None:
    """Where all groups of a class are larger than a part's quota, move the smallest that train can spare to the part.

    Train can spare a group if it keeps another of each of its classes. `part_of_group` is changed in place.
    """
    for part in range(train):
        for stratum in np.flatnonzero(quotas[part]):
            inside = part_of_group == train
            if table[part_of_group == part, stratum].any():
                continue
            holders = (table[inside] > 0).sum(axis=0)  # groups of each class in train
            spare = [
                group
                for group in rng.permutation(np.flatnonzero(inside & (table[:, stratum] > 0)))
                if (holders[table[group] > 0] > 1).all()
            ]
            if spare:
                part_of_group[min(spare, key=lambda group: int(table[group].sum()))] = part


def _fold_of_each(strata: Ints, members: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """The fold of each image: whole groups, and of every class as nearly the same number as the groups allow."""
    ends = (np.bincount(strata) * np.arange(folds + 1)[:, None]) // folds
    table, members = _table(strata, members)
    return _deal_groups(table, np.diff(ends, axis=0), rng, None)[members]


def _deal_groups(table: Ints, quotas: Ints, rng: np.random.Generator, otherwise: int | None) -> Ints:
    """The part of each group, drawn in proportion to what the parts still lack, among those that can take it whole.

    A group that fits nowhere goes to the part `otherwise`, or to the one that lacks most.
    """
    lacking = quotas.copy()
    part_of_group = np.empty(len(table), dtype=np.int64)
    for group in _largest_first(table, rng):
        fits = (lacking >= table[group]).all(axis=1)
        weights = np.where(fits, lacking @ table[group], 0.0)
        if weights.any():
            part = int(rng.choice(len(lacking), p=weights / weights.sum()))
        else:
            part = int((lacking @ table[group]).argmax()) if otherwise is None else otherwise
        part_of_group[group] = part
        lacking[part] -= table[group]
    return part_of_group


def _subset(strata: Ints, members: Ints, split: Split, total: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the images that are left for train it keeps: whole groups, the largest first, while they fit."""
    wanted = split.count("train", total)
    if not 1 <= wanted <= len(strata):
        raise UserError(
            f"params.yaml: `split.train` = {split.train} asks for {wanted} images, but {len(strata)} of {total} are "
            "left for it; `train: null` takes them all"
        )
    lacking = _quota(np.bincount(strata), wanted)
    table, members = _table(strata, members)
    kept = np.zeros(len(table), dtype=np.bool_)
    for group in _largest_first(table, rng):
        if (lacking >= table[group]).all():
            kept[group] = True
            lacking -= table[group]
    return kept[members]


def _table(strata: Ints, members: Ints) -> tuple[Ints, Ints]:
    """Images of each group in each stratum, and the row of each image's group."""
    _, members = np.unique(members, return_inverse=True)
    table = np.zeros((members.max() + 1, strata.max() + 1), dtype=np.int64)
    np.add.at(table, (members, strata), 1)
    return table, members


def _largest_first(table: Ints, rng: np.random.Generator) -> Ints:
    """The groups in a random order among those of one size."""
    order = rng.permutation(len(table))
    return order[np.argsort(-table[order].sum(axis=1), kind="stable")]


def _quotas(strata: Ints, names: NDArray[np.str_], split: Split, total: int) -> Ints:
    """Images that each of the DEALT parts takes of each stratum, (3, strata), summing to the images there are.

    Raises:
        TooFewError: a class has fewer images than validation and test take of it.
        UserError: validation and test leave no train images.
    """
    sizes: Ints = np.bincount(strata)
    test, val = (_quota(sizes, split.count(part, total)) for part in ("test", "val"))
    left = sizes - test - val
    if left.sum() <= 0:
        raise UserError(
            f"params.yaml: `split.test` = {split.test} and `split.val` = {split.val} of {total} images leave none for "
            "train"
        )
    if (left < 0).any():  # of a class: a split that is not stratified has one stratum
        place = int(left.argmin())
        raise TooFewError(
            f"the class `{names[place]}` is too small for the split (images: {sizes[place]}): `split.test` = "
            f"{split.test} and `split.val` = {split.val} of {total} images ask for {sizes[place] - left[place]} of "
            "it; add images of it, leave small classes out (`ingest.min_images`), or lower the shares",
            str(names[place]),
        )
    return np.stack([test, val, left])


def _quota(sizes: Ints, wanted: int) -> Ints:
    """Divide `wanted` images over the strata in proportion to their sizes, by largest remainders."""
    exact = sizes * (wanted / max(sizes.sum(), 1))
    quota: Ints = np.floor(exact).astype(np.int64)
    most_left = np.argsort(-(exact - quota), kind="stable")
    quota[most_left[: wanted - quota.sum()]] += 1
    return quota


def _check_whole(parts: list[str], images: Images, members: Ints, split: Split) -> None:
    """Refuse a split in which a class lacks a part, and one with a group in two parts."""
    labels = np.asarray(images.labels)
    counts = Counter(zip(images.labels, parts, strict=True))
    for label in sorted(set(images.labels)):
        missing = " and ".join(part for part in PARTS if not counts[label, part])
        if missing and split.held_out:
            raise TooFewError(
                f"the class `{label}` has no image in {missing} (train {counts[label, 'train']}, val "
                f"{counts[label, 'val']}, test {counts[label, 'test']}), and "
                f"{' and '.join(f'`split.{part}`' for part in split.held_out)} names whole "
                "folders or groups, which are taken as they are; add images of it there, take the class out of the "
                "source, or let the part be a share",
                label,
            )
        if missing:
            inside = labels == label
            way = "leave small classes out (`ingest.min_images`), or raise the share"
            if any(images.named):
                way = (
                    "raise the share, or give up the groups: remove `group` from `ingest` or `ingest.table` in "
                    "params.yaml (`--group none` of `make new`); copies and look-alikes still stay together"
                )
            raise TooFewError(
                f"the class `{label}` is too small for the split (images: {inside.sum()}, groups that stay whole: "
                f"{len(set(members[inside]))}): none in {missing} with `split.val` = {split.val} and `split.test` = "
                f"{split.test}; add images of it, {way}",
                label,
            )
    whole = {(group, part) for group, part in zip(members.tolist(), parts, strict=True) if part not in OUTSIDE}
    if len(whole) != len({group for group, _ in whole}):
        raise AssertionError("a group stands in two parts of the split")
