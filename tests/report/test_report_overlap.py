"""What is said of copies, pairs and sizes over one split or several is what counting image by image gives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.report import caveats, data_page, findings, results, uncertainty
from stages.report.evidence import StudyEvidence
from tests.report.made_study import Known

PARTS = ("train", "val", "test")


def told(splits: list[dict[str, str]], groups: dict[str, str], links: list[list[str]] | None = None) -> Any:
    """Evidence of images, their groups, and the part of each in every split."""
    tables = [pd.DataFrame({"image_id": list(places), "split": list(places.values())}) for places in splits]
    counts = [{part: {"all": list(p.values()).count(part)} for part in PARTS} for p in splits]
    found: Any = Known(
        audit={"duplicates": "drop", "links_cut": links or []}, parts=tables, places=splits, named=False, metric="top1",
        manifest=pd.DataFrame({"image_id": list(groups), "group_id": list(groups.values())}),
        ledger=pd.DataFrame({"image_id": list(groups), "path": list(groups)}),
        split={"seed": 0, "splits": [{"seeds": [i], "counts": c} for i, c in enumerate(counts)]},
        study=SimpleNamespace(seeds=list(range(len(splits))), raw={"split": {}}), variants=[],
    )  # fmt: skip
    found.fixed = StudyEvidence.fixed.func(found)  # type: ignore[attr-defined]
    return found


def drawn(splits: int, images: int = 60, seed: int = 0) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Random parts of images in groups of three that the splits do not keep together."""
    rng = np.random.default_rng(seed)
    names = [f"i{i:02}" for i in range(images)]
    groups = {name: f"g{i // 3}" if i < images // 2 else name for i, name in enumerate(names)}
    order = [rng.permutation([*["train"] * 30, *["val"] * 10, *["test"] * 20]) for _ in range(splits)]
    return [dict(zip(names, map(str, parts), strict=True)) for parts in order], groups


@pytest.mark.parametrize("splits", [1, 10])
def test_copies_are_those_of_all_splits(splits: int) -> None:
    """Each test image asks every other image: the mean over the splits, not the split with most in training."""
    places, groups = drawn(splits)
    train = val = 0
    for where in places:
        for image in (i for i, part in where.items() if part == "test"):
            parts = {where[other] for other in where if other != image and groups[other] == groups[image]}
            train += "train" in parts
            val += "val" in parts and "train" not in parts
    digits = 0 if splits == 1 else 1
    (text,) = findings.copies(told(places, groups))
    assert f"{(train + val) / splits:.{digits}f} of 20 images of the test set have" in text
    assert f"{train / splits:.{digits}f} in the training set, {val / splits:.{digits}f} only in" in text
    assert ("on average over 10 splits" in text) == (splits > 1)
    assert "can make the test results too good" in text


LINKS = [
    ["t1", "a"],
    ["a", "t1"],
    ["t1", "a"],
    ["t1", "v"],
    ["t2", "t1"],
    ["a", "b"],
    ["a", "v"],
    ["a", "a"],
    ["t2", "b"],
]
WHERE = {"t1": "test", "t2": "test", "t3": "test", "a": "train", "b": "train", "v": "val"}


def test_a_pair_that_several_links_join_counts_once() -> None:
    """Six pairs: three leave the test set, with two of its pictures; a fourth lies between train and validation."""
    known = told([WHERE], {image: image for image in WHERE}, LINKS)
    first, second = findings.copies(known)
    crossing = {frozenset(link) for link in LINKS if [WHERE[i] for i in set(link)].count("test") == 1 < len(set(link))}
    assert first.startswith("Except for the pairs below, cleaning found no test image that has")
    assert f"found {len(crossing)} pairs of similar pictures that it did not group" in second
    assert f"They hold {len({i for pair in crossing for i in pair if i[0] == 't'})} different test images." in second
    shown = findings.listed(known)
    assert shown is not None
    paths = [frozenset(row["paths"]) for row in shown["rows"]]
    assert len(paths) == len(set(paths)) == 6
    assert "found 6 pairs" in shown["sentence"]
    assert "In 4 of them" in shown["sentence"]
    assert [bool(row["parts"]) for row in shown["rows"]] == [True] * 4 + [False] * 2


def test_pairs_of_any_split_and_beside_copies() -> None:
    turned = WHERE | {"t1": "train", "b": "test"}
    text = " ".join(findings.copies(told([WHERE, turned], dict.fromkeys(WHERE, "g"), [["a", "b"], ["t1", "t2"]])))
    assert text.startswith("Not counting the pairs below, ")
    assert "2 pairs of similar pictures" in text
    assert "of at least one split. They hold 2 different test images." in text


def test_no_pair_no_exception() -> None:
    (text,) = findings.copies(told([WHERE], {image: image for image in WHERE}, [["t1", "t2"], ["a", "b"]]))
    assert text.startswith("Cleaning found no test image that has")
    assert findings.listed(told([WHERE], {})) is None


def test_pairs_across_a_published_folder_are_not_passed_over() -> None:
    known = told([WHERE], {image: image for image in WHERE}, LINKS)
    known.ledger = known.ledger.assign(
        path=[f"{WHERE[i]}/{i}" for i in WHERE], duplicate_of="", status="kept", reason=""
    )
    known.study.raw["split"] = {"test": {"folder": "test"}}
    (text,) = findings.across(known)
    assert "Not counted: 3 pairs of similar pictures that cleaning did not group" in text
    known.audit = {}
    assert "Not counted" not in findings.across(known)[0]


@pytest.mark.parametrize("kind", ["random", "disjoint", "same"])
def test_what_splits_share_is_counted(kind: str) -> None:
    """Counted by image: one that k of n training sets hold is shared by k (k - 1) of their n (n - 1) pairs."""
    places, groups = drawn(4)
    if kind == "same":
        places = [places[0]] * 4
    elif kind == "disjoint":
        names = list(groups)
        places = [dict.fromkeys(names, "test") | dict.fromkeys(names[15 * i : 15 * i + 15], "train") for i in range(4)]
    known = told(places, groups)
    held = [sum(where[image] == "train" for where in places) for image in groups]
    share = sum(k * (k - 1) for k in held) / (sum(held) / 4 * 4 * 3)
    text = uncertainty.over_seeds(known)
    assert (f"here {100 * share:.0f} % on average" in text) == (kind != "disjoint")
    assert ("Splits share" in text) == (kind != "disjoint")
    assert "most of" not in text
    assert {"random": 0.3 < share < 0.7, "disjoint": share == 0, "same": share == 1}[kind]


def test_folds_of_103_images_have_20_or_21() -> None:
    names = [f"i{i}" for i in range(103)]
    places = [dict.fromkeys(names, "train") | dict.fromkeys(names[i::5], "test") for i in range(5)]
    sizes = sorted({len(names[i::5]) for i in range(5)})
    known = told(places, {name: name for name in names})
    known.configs = {}
    assert sizes == [20, 21]
    assert "test sets of 20 to 21 images each" in " ".join(caveats._data(known))
    known.order, known.settings, known.summary = [], SimpleNamespace(metrics=[]), {}
    assert results._split_table(known, known, "test")["images"] == "20 to 21 images"
    labels = [{"all": 30, "few": 1}, {"all": 30, "few": 4}]
    known.split["splits"] = [{"counts": {"test": counts}} for counts in labels]
    assert "has 30 test images, the smallest 2.5, on average over the splits" in caveats._unbalanced(known)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ([610], "610 images are in no part, because each is"),
        ([1], "1 image is in no part, because it is"),
        ([3, 0], "0 to 3 images are in no part, because each is"),
    ],
)
def test_what_is_left_out_is_in_one_group_with_a_published_image(left: list[int], said: str) -> None:
    splits = [{"left_out": n, "unused": 0} for n in left]
    known: Any = Known(split={"splits": splits}, study=SimpleNamespace(raw={"split": {"test": {"folder": "t"}}}))
    text = data_page._outside(known)
    assert text == f" {said} in one group with an image of a published part (a copy or a similar picture)."
    known.split = {"splits": [{"left_out": 0, "unused": 0}]}
    assert data_page._outside(known) == ""


def test_an_augmentation_is_told_in_words_and_short_numbers() -> None:
    given = {"crop": {"scale": [0.7, 1.0], "ratio": [0.75, 4 / 3]}, "flip": "horizontal", "noise": 0.0, "erase": None}
    assert data_page._augmentation(given) == "crop.scale 0.7 to 1, crop.ratio 0.75 to 1.333, flip horizontal"
