"""All studies of a repository are judged by one command, whichever of them does not hold."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.verify import __main__ as command
from tests import tiny
from tests.verify import committed


def outcome(study: str, code: int, verdicts: list[str] | None) -> command.Outcome:
    signed = {"checks": [{"verdict": verdict} for verdict in verdicts]} if verdicts else None
    return command.Outcome(study, code, "", signed, 12.3)


def test_the_summary_has_a_line_for_each_study() -> None:
    rows = command.table(
        [
            outcome("digits", 0, ["equal", "equal", "within tolerance"]),
            outcome("bananas", 1, ["different", "equal", "not checked"]),
            outcome("unreadable", 1, None),
        ]
    ).split("\n")
    assert rows == [
        "study       verdict                lock       tables and pages  run again         took",
        "digits      holds                  equal      equal             within tolerance  12 s",
        "bananas     does not hold          different  equal             not checked       12 s",
        "unreadable  could not be verified                                                 12 s",
    ]


@pytest.mark.slow
def test_every_study_is_judged_and_named_and_the_tree_is_left_alone(clone: Path) -> None:
    published = clone / "studies/published"
    published.mkdir(parents=True, exist_ok=True)
    shutil.copy(clone / "params.yaml", published)

    def below(params: dict[str, Any]) -> None:
        params.update(study="published", seeds=[0])
        params["ingest"]["path"] = "../../data/source"
        params["report"].update(published="../../studies/published.csv", leak="../../studies/leak.csv")

    tiny.edit(published / "params.yaml", below)
    (published / "data").mkdir()
    shutil.copy(clone / "data/curation.csv", published / "data")
    for link in LINKS:
        (published / link).symlink_to(f"../../{link}")
    tiny.run(published, "dvc", "repro", "--single-item", *(f"dvc.yaml:{stage}" for stage in STAGES))
    for link in LINKS:
        (published / link).unlink()
    broken = Path(shutil.copytree(published, clone / "studies/broken", symlinks=True))
    committed.replace(broken / "reports/report.md", "# published", "# Published")
    unreadable = clone / "studies/unreadable"
    unreadable.mkdir()
    (unreadable / "dvc.lock").write_text("stages: {}\n")
    tiny.commit(clone, "Three studies")
    typed = f"{sys.executable} -m stages.verify --studies --no-rerun; echo exit $?"
    output = tiny.run(clone, "sh", "-c", typed, PYTHONPATH=".", CI="1")
    summary = [line.split()[:3] for line in output.rstrip().split("\n")[-5:]]
    assert summary[0][:2] == ["tiny", "holds"], output
    assert [line[0] for line in summary[1:4]] == ["broken", "published", "unreadable"]
    assert [line[1:] for line in summary[1:4]] == [["does", "not"], ["holds", "equal"], ["could", "not"]]
    assert summary[4] == ["exit", "1"]
    assert "line 1: here '# Published', made again '# published'" in output
    assert tiny.run(clone, "git", "status", "--porcelain") == ""
    assert not [link for link in LINKS if os.path.lexists(published / link)]


LINKS = ("dvc.yaml", "stages")
STAGES = (
    "cells", "ingest", "clean", "split", "train@mlp-0", "evaluate@mlp-0", "audit", "aggregate", "pictures", "report",
)  # fmt: skip
