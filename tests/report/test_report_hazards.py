"""What is said of a part that was published as a folder is what the split did with its pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from stages.report import findings
from stages.split import Images, assign
from stages.split.params import Split
from tests.report.made_study import Known

# (path, group): two pictures of the test folder have a look-alike outside it, one of them in the validation folder.
PICTURES = [(f"rest/{label}{i}", f"{label}{i}") for label in "ab" for i in range(8)]
PICTURES += [("test/a", "t1"), ("test/b", "t2"), ("test/c", "t3"), ("val/a", "t1"), ("val/b", "v2"), ("val/c", "v3")]
PICTURES += [("rest/like", "t2"), ("rest/more", "v2")]


def told(*, duplicates: str = "group", grouped: bool = True, named: bool = False) -> Any:
    """Evidence of a study with published test and validation folders, split as the stage `split` does it."""
    settings = Split(seed=0, val={"folder": "val"}, test={"folder": "test"}, grouped=grouped)  # type: ignore[arg-type]
    paths, groups = zip(*PICTURES, strict=True)
    together = paths if duplicates == "ignore" else groups
    labels = ["b" if "/b" in path else "a" for path in paths]
    parts = assign(Images(labels, together, paths), settings)
    ledger = pd.DataFrame({"path": paths, "image_id": paths, "duplicate_of": "", "status": "kept", "reason": ""})
    ledger.loc[len(ledger)] = ["test/broken", "", "", "quarantined", "too_small"]
    inside = {path: part for path, part in zip(paths, parts, strict=True) if part in ("train", "val", "test")}
    study = SimpleNamespace(raw={"split": {"val": {"folder": "val"}, "test": {"folder": "test/"}, "grouped": grouped}})
    audit = {"duplicates": duplicates, "duplicate": 0, "files": 24, "groups": 3, "label_conflicts": 0, "quarantined": 1}
    return Known(
        ledger=ledger, places=[inside], study=study, audit=audit, named=named,
        manifest=pd.DataFrame({"image_id": paths, "group_id": groups}),
    )  # fmt: skip


def test_what_a_published_folder_shares_is_left_out_where_groups_are_kept() -> None:
    val, dropped, test, gone = findings.across(told())
    used = "similar picture outside it: {} files. Of these pictures outside the folder, {} is in another part of this"
    assert used.format("2 of 4", "none") in test
    assert gone.endswith("used here: 3 of 4. Not used: 1 quarantined (too small).")
    assert used.format("2 of 3", "1") in val
    # The validation picture that looks like one of the test set is in no part: it was kept, and is not used.
    assert dropped.endswith("used here: 2 of 3. Not used: 1 that belongs with pictures of another published part.")


@pytest.mark.parametrize("how", [{"duplicates": "ignore"}, {"grouped": False}])
def test_nothing_is_left_out_where_groups_are_not_kept(how: dict[str, Any]) -> None:
    known = told(**how)
    val, test, gone = findings.across(known)
    assert "Of these pictures outside the folder, 2 are in another part of this study's split." in test
    assert "used here: 3 of 4" in gone
    assert "Of these pictures outside the folder, 2 are in another part of this study's split." in val
    assert any("were not kept in one part" in line for line in findings.hazards(known))
    assert not any("each kept in one part" in line for line in findings.hazards(known))


def test_named_groups_stand_beside_the_copies() -> None:
    lines = findings.hazards(told(named=True))
    assert "Groups of copies, similar pictures or pictures of one named group, each kept in one part" in lines[1]
    assert "(or one of the same named group)" in lines[-2]
