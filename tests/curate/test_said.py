"""What the report says of decisions by hand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from stages.core import curation
from stages.report import findings

ROOT = Path(__file__).parents[2]
FOUND = {
    "decisions": 6, "applied": {"drop": 3, "relabel": 2}, "after_test_figures": 4, "kept": 0, "left_out": 3,
    "relabelled": 1, "not_applied": [["a <b>.png", "keep", "the file is not in the data"]],
}  # fmt: skip


def test_the_page_says_how_many_and_what_they_changed() -> None:
    said = findings.changes({"by_hand": FOUND})
    assert "6 decisions by hand" in said
    assert "3 dropped and 2 relabelled" in said
    assert "3 files left out that would be kept and 1 file kept under another label" in said
    assert "Not applied: 1 (`a <b>.png`: the file is not in the data)" in said
    assert "same rule" not in said  # nothing in audit.json shows by what rule a person decided
    assert findings.late({"by_hand": FOUND}).startswith(
        "Of 5 decisions by hand on files, 4 were made after test results"
    )


def test_without_decisions_the_page_says_nothing_of_them() -> None:
    assert (findings.changes({}), findings.late({})) == ("", "")
    assert findings.late({"by_hand": FOUND | {"after_test_figures": 0}}) == ""


def test_every_study_has_the_file_that_dvc_asks_for() -> None:
    header = ",".join(curation.COLUMNS)
    for params in [ROOT / "params.yaml", *ROOT.glob("studies/*/params.yaml")]:
        assert (params.parent / curation.FILE).read_text().startswith(header + "\n"), params
    assert f"echo {header} >" in (ROOT / "Makefile").read_text()
    assert re.search(r"^      - data/curation.csv", (ROOT / "dvc.yaml").read_text(), re.MULTILINE)


def test_a_wrong_name_of_a_study_is_answered_with_the_names_in_one_line() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "-o", "setup", "curate", "STUDY=wrong"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    names = sorted(path.parent.name for path in ROOT.glob("studies/*/params.yaml"))
    assert line == f"error: no study has this name; STUDY is one of: {', '.join(names)}"
    assert done.returncode
