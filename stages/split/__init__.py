"""Stage `split`: train, validation and test; stratified, seeded, and no group of pictures across two of them.

scikit-learn's StratifiedGroupKFold makes equal folds only; shares and counts of one's own need the assignment below.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from stages.core.errors import UserError
from stages.core.folders import level_advice, listed
from stages.core.seeding import generator
from stages.split.params import Groups, HeldOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stages.split.params import Split

    Ints = NDArray[np.int64]

NAMES = ("test", "val", "train")  # held-out parts first: train takes what is left
OUTSIDE = ("left_out", "unused")


class TooFewError(UserError):
    """A class has too few images for every part to have one. label: of the class."""

    def __init__(self, message: str, label: str) -> None:
        super().__init__(message)
        self.label = label


def assign(
    labels: Sequence[str],
    groups: Sequence[str],
    params: Split,
    paths: Sequence[str] = (),
    draw: Sequence[int] = (),
    fold: int | None = None,
    named: Sequence[str] = (),
) -> list[str]:
    """Give every image its part.

    Published parts and groups that are held out come first. Of the rest whole groups are dealt, the largest first, in
    a random order among equals, each to a part drawn in proportion to what the part still lacks, among the parts that
    can take the group without exceeding any class's share. Single images come last and fill the shares exactly. If a
    part then lacks a class, since its groups are larger than the share, it takes a small one from train. A training
    set that is smaller than what is left is drawn at the end, so that validation and test are the same with and without
    `train`.

    Args:
        labels: label of each image.
        groups: group of each image; images of one group stay together.
        params: shares and seed.
        paths: path of each image in the source; needed for published parts alone.
        draw: numbers that tell several splits of one seed apart; none for the only one.
        fold: the fold that is tested, of `params.folds`.
        named: the user's name for the group of each image; needed for groups that are held out alone.

    Returns:
        `train`, `val` or `test` for each image; `left_out` for one that belongs to an image of a published part or of a
        group that is held out, and `unused` for what `train` does not want.

    Raises:
        TooFewError: a class is too small to stand in every part.
        UserError: the shares leave no train images, or a published part or a group that is held out is empty.
    """
    names, classes = np.unique(np.asarray(labels), return_inverse=True)
    if len(names) < 2:
        raise UserError(
            f"there is one class only (`{names[0]}`), so there is nothing to tell apart; "
            + (level_advice(paths) or "is `ingest.label` right?")
            if len(names)
            else "no image was kept, so there is nothing to split; data/clean/ledger.csv says why"
        )
    _, members = np.unique(np.asarray(groups if params.grouped else range(len(labels))), return_inverse=True)
    parts = np.full(len(labels), "", dtype="<U8")
    for part in ("test", "val"):
        share = getattr(params, part)
        if isinstance(share, HeldOut):
            inside = _held_out(part, share, paths, named) & (parts == "")
            parts[inside] = part
            parts[(parts == "") & np.isin(members, members[inside])] = "left_out"
    strata = classes if params.stratify else np.zeros_like(classes)
    if fold is not None and params.folds is not None:
        rng = generator(params.seed, "folds", *draw)
        parts[(parts == "") & (_folds(strata, members, params.folds, rng) == fold)] = "test"
    rest = parts == ""
    need = _shares(strata[rest], names, params, len(labels))
    parts[rest] = _deal_groups(strata[rest], members[rest], need, generator(params.seed, "split", *draw))
    if params.train is not None:
        inside = np.flatnonzero(parts == "train")
        kept = _subset(strata[inside], members[inside], params, len(labels), generator(params.seed, "train", *draw))
        parts[inside[~kept]] = "unused"
    _check_whole(parts.tolist(), [str(names[c]) for c in classes], members, params, by_user=any(named))
    return [str(part) for part in parts]


def _held_out(part: str, share: HeldOut, paths: Sequence[str], named: Sequence[str]) -> NDArray[np.bool_]:
    """Which images stand in a published part, or in the groups that are held out."""
    if isinstance(share, Groups):
        if missing := [name for name in share.groups if name not in set(named)]:
            known = sorted(set(named) - {""})
            raise UserError(
                f"`split.{part}.groups` names {missing[0]!r}, but no kept image has such a group; "
                + (f"the groups are {listed(known, 10)}" if known else "`ingest.group` says what the groups are")
            )
        return np.isin(np.asarray(named), share.groups)
    inside = np.array([path.startswith(share.folder.rstrip("/") + "/") for path in paths], dtype=np.bool_)
    if not inside.any():
        first = sorted({path.partition("/")[0] for path in paths if "/" in path})
        raise UserError(
            f"`split.{part}.folder` is {share.folder}, but no kept image came from a folder of that name; the first "
            f"folders are {', '.join(first[:5])}"
        )
    return inside


def _deal_groups(strata: Ints, members: Ints, need: Ints, rng: np.random.Generator) -> NDArray[np.str_]:
    """The part of each image, where the parts need so many images of each stratum (3, strata)."""
    table, members = _table(strata, members)
    part_of_group = _deal_to(table, need.copy(), rng, NAMES.index("train"))
    _complete(part_of_group, table, need, rng)
    return np.array(NAMES)[part_of_group[members]]


def _complete(part_of_group: Ints, table: Ints, need: Ints, rng: np.random.Generator) -> None:
    """Where all groups of a class are larger than a part's share, give the part the smallest that train can spare.

    Train can spare a group if it keeps another of each of its classes.
    """
    train = NAMES.index("train")
    for part in range(train):
        for stratum in np.flatnonzero(need[part]):
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


def _folds(strata: Ints, members: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """The fold of each image: whole groups, and of every class as nearly the same number as the groups allow."""
    ends = (np.bincount(strata) * np.arange(folds + 1)[:, None]) // folds
    table, members = _table(strata, members)
    return _deal_to(table, np.diff(ends, axis=0), rng, None)[members]


def _deal_to(table: Ints, need: Ints, rng: np.random.Generator, otherwise: int | None) -> Ints:
    """The part of each group, drawn in proportion to what the parts still need, among those that can take it whole.

    A group that fits nowhere goes to the part `otherwise`, or to the one that lacks most.
    """
    part_of_group = np.empty(len(table), dtype=np.int64)
    for group in _largest_first(table, rng):
        fits = (need >= table[group]).all(axis=1)
        weights = np.where(fits, need @ table[group], 0.0)
        if weights.any():
            part = int(rng.choice(len(need), p=weights / weights.sum()))
        else:
            part = int((need @ table[group]).argmax()) if otherwise is None else otherwise
        part_of_group[group] = part
        need[part] -= table[group]
    return part_of_group


def _subset(strata: Ints, members: Ints, params: Split, total: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the images that are left for train it keeps: whole groups, the largest first, while they fit."""
    wanted = params.train if isinstance(params.train, int) else round((params.train or 0) * total)
    if not 1 <= wanted <= len(strata):
        raise UserError(
            f"`split.train` = {params.train} asks for {wanted} images, but {len(strata)} of {total} are left for it; "
            "`train: null` takes them all"
        )
    need = _deal(np.bincount(strata), wanted, total)
    table, members = _table(strata, members)
    kept = np.zeros(len(table), dtype=np.bool_)
    for group in _largest_first(table, rng):
        if (need >= table[group]).all():
            kept[group] = True
            need -= table[group]
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


def _shares(strata: Ints, names: NDArray[np.str_], params: Split, total: int) -> Ints:
    """Images that each part takes of each stratum, (3, strata), summing to the images there are.

    Raises:
        TooFewError: a class has fewer images than validation and test take of it.
        UserError: validation and test leave no train images.
    """
    sizes: Ints = np.bincount(strata)
    test, val = (_deal(sizes, share, total) for share in (params.test, params.val))
    left = sizes - test - val
    if left.sum() <= 0:
        raise UserError(
            f"`split.test` = {params.test} and `split.val` = {params.val} of {total} images leave none for train"
        )
    if (left < 0).any():  # of a class: a split that is not stratified has one stratum
        place = int(left.argmin())
        raise TooFewError(
            f"the class `{names[place]}` is too small for the split (images: {sizes[place]}): `split.test` = "
            f"{params.test} and `split.val` = {params.val} of {total} images ask for {sizes[place] - left[place]} of "
            "it; add images of it, leave small classes out (`ingest.min_images`), or lower the shares",
            str(names[place]),
        )
    return np.stack([test, val, left])


def _deal(sizes: Ints, share: float | HeldOut | None, total: int) -> Ints:
    """Divide a share of all `total` images over the strata in proportion to their sizes, by largest remainders."""
    if share is None or isinstance(share, HeldOut):
        return np.zeros_like(sizes)
    wanted = share if isinstance(share, int) else round(share * total)
    exact = sizes * (wanted / sizes.sum())
    dealt: Ints = np.floor(exact).astype(np.int64)
    most_left = np.argsort(-(exact - dealt), kind="stable")
    dealt[most_left[: wanted - dealt.sum()]] += 1
    return dealt


def _check_whole(parts: list[str], labels: list[str], members: Ints, params: Split, *, by_user: bool) -> None:
    """Every class in every part, no group in two; `by_user`: some groups are the user's and can be given up."""
    counts = Counter(zip(labels, parts, strict=True))
    held_out = [f"`split.{part}`" for part in NAMES[:2] if isinstance(getattr(params, part), HeldOut)]
    for label in sorted(set(labels)):
        missing = " and ".join(part for part in reversed(NAMES) if not counts[label, part])
        if missing and held_out:
            raise TooFewError(
                f"the class `{label}` has no image in {missing} (train {counts[label, 'train']}, val "
                f"{counts[label, 'val']}, test {counts[label, 'test']}), and {' and '.join(held_out)} names whole "
                "folders or groups, which are taken as they are; add images of it there, take the class out of the "
                "source, or let the part be a share",
                label,
            )
        if missing:
            inside = np.array(labels) == label
            way = "leave small classes out (`ingest.min_images`), or raise the share"
            if by_user:
                way = (
                    "raise the share, or give up the groups: remove `group` from `ingest` or `ingest.table` in "
                    "params.yaml (`--group none` of `make new`); copies and look-alikes still stay together"
                )
            raise TooFewError(
                f"the class `{label}` is too small for the split (images: {inside.sum()}, groups that stay whole: "
                f"{len(set(members[inside]))}): none in {missing} with `split.val` = {params.val} and `split.test` = "
                f"{params.test}; add images of it, {way}",
                label,
            )
    whole = {(group, part) for group, part in zip(members.tolist(), parts, strict=True) if part not in OUTSIDE}
    if len(whole) != len({group for group, _ in whole}):
        raise AssertionError("a group stands in two parts of the split")
