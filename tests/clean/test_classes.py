"""Classes that are small after cleaning: left out, merged or kept, with a row for each of their pictures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from stages.clean.params import Clean, SmallClasses
from stages.clean.run import run
from stages.core.errors import UserError

from .conftest import Raw, photo

if TYPE_CHECKING:
    from pathlib import Path


def cleaned(raw: Raw, least: int, fate: str = "drop") -> dict[str, dict[str, str]]:
    """`cat` has 4 pictures, `dog` 4 files of which two are copies, `cow` 1, `elk` 1 and a broken one."""
    for i in range(4):
        raw.add(f"cat/{i}.png", photo(i), "cat")
        raw.add(f"dog/{i}.png", photo(10 + i // 2 * (i % 2)), "dog")
    raw.add("cow/1.png", photo(30), "cow")
    raw.add("elk/1.png", photo(40), "elk")
    raw.add("elk/2.png", b"broken", "elk")
    raw.write()
    small = SmallClasses.of({"min_images": least, "small_classes": fate})
    root = raw.root
    run(Clean(), root / "data/raw", root / "data/clean", root / "reports/clean", None, (), small)
    return raw.ledger()


def test_what_is_left_after_cleaning_counts(raw: Raw) -> None:
    ledger = cleaned(raw, 3)
    assert len(ledger) == 11
    assert {row["label"] for row in raw.manifest()} == {"cat"}, "dog has 4 files, but 2 pictures"
    left_out = {path: row for path, row in ledger.items() if row["reason"] == "small_class"}
    assert set(left_out) == {*(f"dog/{i}.png" for i in range(4)), "cow/1.png", "elk/1.png"}
    assert all(row["status"] == "quarantined" and not row["duplicate_of"] for row in left_out.values())
    assert left_out["cow/1.png"]["detail"] == "the class has 1 pictures, fewer than ingest.min_images: 3"
    assert ledger["elk/2.png"]["reason"] == "not_an_image"


def test_small_classes_become_one(raw: Raw) -> None:
    ledger = cleaned(raw, 3, "merge")
    assert Counter(row["label"] for row in raw.manifest()) == {"cat": 4, "other": 4}
    assert {row["label"] for path, row in ledger.items() if path.startswith("dog")} == {"other"}
    assert "its class `cow` has 1 pictures" in ledger["cow/1.png"]["detail"]
    assert {row["duplicate_of"] for row in ledger.values()} - {""} <= {row["image_id"] for row in raw.manifest()}


def test_a_merged_class_can_still_be_too_small(raw: Raw) -> None:
    raw.add("cat/9.png", photo(9), "cat")
    ledger = cleaned(raw, 5, "merge")
    assert {row["label"] for row in raw.manifest()} == {"cat"}
    assert ledger["cow/1.png"]["reason"] == "small_class"
    assert ledger["cow/1.png"]["status"] == "quarantined"


@pytest.mark.parametrize(("least", "fate"), [(1, "drop"), (100, "keep")])
def test_nothing_is_done_unless_asked_for(raw: Raw, least: int, fate: str) -> None:
    cleaned(raw, least, fate)
    assert {row["label"] for row in raw.manifest()} == {"cat", "dog", "cow", "elk"}


def test_all_classes_small_is_an_error(raw: Raw) -> None:
    with pytest.raises(UserError, match="none of 11 files could be kept"):
        cleaned(raw, 100)


def test_groups_of_the_user_stand_in_the_ledger_if_there_are_any(raw: Raw, tmp_path: Path) -> None:
    raw.add("cat/1.png", photo(1))
    raw.run()
    assert "group" not in raw.ledger()["cat/1.png"]
    for i in range(60):  # more than clean.match.max_group
        raw.add(f"cat/p_{i}.png", photo(100 + i, 24, 24), group="patient 7")
    raw.run()
    assert {row["group"] for path, row in raw.ledger().items() if "p_" in path} == {"patient 7"}
    together = {row["group_id"] for row in raw.manifest() if row["image_id"] != raw.ledger()["cat/1.png"]["image_id"]}
    assert len(together) == 1
    assert (tmp_path / "data/clean/ledger.csv").read_text().splitlines()[0].endswith("duplicate_of,group")


def test_of_copies_the_one_in_a_held_out_group_stays(raw: Raw) -> None:
    raw.add("a/large.png", photo(1, 240, 180), group="site a")
    raw.add("b/small.png", photo(1, 240, 180).resize((120, 90)), group="site b")
    raw.published = [["site b"]]  # type: ignore[list-item]
    raw.run()
    assert raw.ledger()["b/small.png"]["status"] == "kept"
    assert raw.ledger()["a/large.png"]["status"] == "duplicate"
