"""`python -m stages.verify` as a reviewer types it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.verify.certificate import record_environment, recorded_environment, unpinned
from stages.verify.scratch import Place
from tests import tiny
from tests.determinism import processor
from tests.verify import committed

ROOT = Path(__file__).parents[2]


def verify(clone: Path, *arguments: str, **more: str) -> tuple[bool, str]:
    """Whether it exits 0, and what it says."""
    command = " ".join([sys.executable, "-m", "stages.verify", *arguments])
    output = tiny.run(clone, "sh", "-c", f"{command}; echo exit $?", check=True, PYTHONPATH=".", CI="1", **more)
    return output.rstrip().endswith("exit 0"), output


def certificate(clone: Path) -> dict[str, Any]:
    text = (clone / "verify/certificate.json").read_text()
    value: dict[str, Any] = json.loads(text)["certificate"]
    return value


def test_packages_unlike_the_pinned_set_are_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(
        "numpy==0.0.1\nnosuchthing==1.0\nalso-none==2 ; sys_platform == 'win32'\n# a comment\n"
    )
    found = unpinned(Place(tmp_path, "."))
    assert [words.split(",")[0] for words in found] == ["numpy: pinned 0.0.1", "nosuchthing: pinned 1.0"]


def test_what_the_study_was_made_with_is_read_back_and_belongs_to_a_lock(tmp_path: Path) -> None:
    place = Place(tmp_path, ".")
    assert recorded_environment(place)[0] == {}
    (tmp_path / "dvc.lock").write_text("one")
    record_environment(place, {"cpu": "a model"})
    assert recorded_environment(place) == ({"cpu": "a model"}, None)
    (tmp_path / "dvc.lock").write_text("two")
    assert recorded_environment(place) == ({"cpu": "a model"}, "environment.json was written for another dvc.lock")
    for text in ("{", '{"a": 1}', "[]"):
        (tmp_path / "environment.json").write_text(text)
        assert "cannot be read" in str(recorded_environment(place)[1])


@pytest.mark.slow
@pytest.mark.weekly
def test_two_fresh_clones_are_green_and_their_certificates_agree(study: Path, tmp_path: Path) -> None:
    clones = [committed.clone(study, tmp_path / name) for name in ("here", "elsewhere/deep down")]
    for clone, jobs in zip(clones, "31", strict=True):  # side by side, and one by one
        green, output = verify(clone, "--jobs", jobs)
        assert green, output
        assert tiny.run(clone, "git", "status", "--porcelain") == ""
    one, two = map(certificate, clones)
    assert one == two
    assert {check["check"]: check["verdict"] for check in one["checks"]} == {
        "lock": "equal", "tables and pages": "equal", "run again": "equal",
    }  # fmt: skip
    assert str(clones[0]) not in json.dumps(one)
    text = (clones[0] / "verify/certificate.md").read_text()
    assert "| threads | 1 | 1 |" in text
    assert "Machine types that the cells recorded: device cpu, instruction set" in text


@pytest.mark.slow
@pytest.mark.weekly
def test_another_machine_type_gets_the_tolerance_verdict_and_no_false_alarm(clone: Path) -> None:
    green, output = verify(clone, ATEN_CPU_CAPABILITY="default", DNNL_MAX_CPU_ISA="SSE41")
    assert green, output
    again = certificate(clone)["checks"][-1]
    assert again["verdict"] == "within tolerance"
    assert "another machine type" in again["notes"][0]
    assert all("allowed by an SD over seeds" in finding["detail"] for finding in again["findings"])


@pytest.mark.slow
def test_bits_that_differ_on_another_model_of_processor_are_judged_by_tolerance(clone: Path, tmp_path: Path) -> None:
    other_bits = processor.other_bits(tmp_path)
    green, output = verify(clone, **other_bits)
    assert not green, output
    verify(clone, "--record")
    recorded = json.loads((clone / "environment.json").read_text())
    recorded["environment"]["cpu"] = "a processor that is not here"
    (clone / "environment.json").write_text(json.dumps(recorded))
    green, output = verify(clone, **other_bits)
    assert green, output
    again = certificate(clone)["checks"][-1]
    assert again["verdict"] == "within tolerance"
    assert again["notes"] == ["another model of processor, whose bits differ: cells are judged by tolerance"]
    assert "| a processor that is not here |" in output


@pytest.mark.weekly
@pytest.mark.slow
def test_without_access_to_the_data_the_reviewer_is_told_what_was_checked_and_what_not(clone: Path) -> None:
    tiny.run(clone, "git", "rm", "-r", "--quiet", "data/source")
    tiny.commit(clone, "The pictures may not be published")
    green, output = verify(clone, "--sample", "1", "--seed", "3")
    assert not green
    assert "the DVC remote was not pulled (`dvc pull data/raw`" in output
    assert "ingest: stale: data/source deleted" not in output
    assert "## Run again: not checked" in output
    green, output = verify(clone)
    assert green, output
    assert "The checks that were made hold; no cell was trained again." in output
    again = certificate(clone)["checks"][-1]
    assert again["verdict"] == "not checked"
    assert again["notes"][0].startswith("the raw data of this study is not in git (data/source is not here)")


@pytest.mark.weekly
@pytest.mark.slow
def test_a_lock_edited_beyond_repair_gets_a_certificate_that_says_so(clone: Path) -> None:
    verify(clone, "--no-rerun")
    lock = clone / "dvc.lock"
    lock.write_text("stages: : [" + lock.read_text())
    green, output = verify(clone, "--no-rerun")
    assert not green
    assert "dvc.lock is not valid YAML" in output
    assert "Traceback" not in output
    assert certificate(clone)["holds"] is False
    lock.unlink()
    green, output = verify(clone)
    assert not green
    assert "dvc.lock is not in" in output
    assert not (clone / "verify/certificate.json").exists(), "an earlier certificate must not stand for this run"


@pytest.mark.slow
def test_settings_that_no_stage_would_take_get_a_certificate_too(clone: Path) -> None:
    tiny.edit(clone / "params.yaml", lambda params: params["train"].update(batch=0))
    green, output = verify(clone, "--no-rerun")
    assert not green
    signed = certificate(clone)
    assert not signed["holds"]
    [found] = signed["checks"][0]["findings"]
    assert "params.yaml cannot be resolved: error: params.yaml: `train.batch` is 0" in found["detail"], output


@pytest.mark.slow
@pytest.mark.weekly
def test_data_outside_of_the_repository_needs_no_word(clone: Path, tmp_path: Path) -> None:
    (clone / "data/source").rename(tmp_path / "elsewhere")
    for path in (str(tmp_path / "elsewhere"), "../elsewhere"):
        tiny.edit(clone / "params.yaml", lambda params, path=path: params["ingest"].update(path=path))  # type: ignore[misc]
        _, output = verify(clone, "--cells", "mlp-0")
        assert "Traceback" not in output
        assert f"the raw data of this study is not in git ({path} is here)" in verify(clone)[1]
        # Another place is another parameter; the same pictures come out all the same.
        assert certificate(clone)["checks"][0]["verdict"] == "different"
        assert "## Run again: equal" in output


@pytest.mark.slow
def test_a_reviewer_may_bring_a_judge_of_their_own(clone: Path) -> None:
    """Whoever edits stages/verify can make it say anything; another clone's judges this one all the same."""
    (clone / "stages/verify/__main__.py").write_text("print('All checks hold.')\n")
    committed.replace(clone / "reports/report.md", "# tiny", "# Tiny")
    tiny.commit(clone, "Improve the judge")
    assert verify(clone)[0]
    command = f"{sys.executable} -P -m stages.verify --no-rerun; echo exit $?"
    output = tiny.run(clone, "sh", "-c", command, PYTHONPATH=str(ROOT), CI="1")
    assert output.rstrip().endswith("exit 1"), output
    assert "line 1: recorded '# tiny', here '# Tiny'" in output


@pytest.mark.slow
def test_a_cell_that_does_not_exist_is_refused_in_words(clone: Path) -> None:
    green, output = verify(clone, "--cells", "mlp-9")
    assert not green
    assert "--cells: params.yaml has no cell mlp-9; the cells are mlp-0, mlp-1" in output
    green, output = verify(clone, "--sample", "5")
    assert "--sample is 5; it must be from 1 to 2, the number of cells in the study" in output
