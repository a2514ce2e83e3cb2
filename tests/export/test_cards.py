"""The cards say what the tables of the study say, in formats that other programs read."""

import contextlib
import csv
import html
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlcroissant
import pytest
from ruamel.yaml import YAML

from stages.core import files
from stages.export import cards
from stages.report import caveats, evidence
from tests import tiny
from tests.report.made_study import Made, make

VARIANT = "variant_1"
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # rdflib's own


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    make(folder, Made(classes=8, seeds=4, seeds_per_split=2))
    return folder


@pytest.fixture(autouse=True)
def inside(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    # The study has no date, version and address, which are recommended; of that the library warns.
    logging.getLogger("absl").setLevel(logging.ERROR)


def write(*flags: str) -> tuple[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cards", "--variant", VARIANT, *flags])
        cards.main()
    return Path("export/README.md").read_text(), Path("export/croissant.json").read_text()


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_model_card_has_the_figures_of_the_study() -> None:
    card, _ = write("--licence", "cc-by-4.0")
    front = YAML(typ="safe").load(card.split("---\n")[1])
    assert (front["license"], front["pipeline_tag"]) == ("cc-by-4.0", "image-classification")
    runs = [r for r in rows("reports/runs.csv") if (r["variant"], r["split"], r["metric"]) == (VARIANT, "test", "top1")]
    mean = sum(float(r["value"]) for r in runs) / len(runs)
    assert front["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(mean, abs=1e-6)
    line = next(line for line in card.splitlines() if line.startswith("| Top-1 % |"))
    assert float(line.split("|")[2].split()[0]) == pytest.approx(100 * mean, abs=0.0501)
    assert "Of the weights: cc-by-4.0." in card


def test_the_worst_classes_are_the_worst_and_come_first() -> None:
    card, _ = write()
    f1: dict[str, float] = {}
    for seed in range(4):
        for row in rows(f"results/{VARIANT}/{seed}/evaluate/per_class.csv"):
            if row["split"] == "test":
                f1[row["label"]] = f1.get(row["label"], 0) + float(row["f1"])
    shown = card.partition("## Where it is bad")[2].partition("## Caveats")[0]
    table = [line.split("|")[1].strip() for line in shown.splitlines() if line.startswith("| ")][1:]
    named = [label.replace("\\", "") for label in table]
    assert [f1[label] for label in named] == sorted(f1.values())[: len(named)]
    assert len(named) == 5


def test_the_most_confused_are_the_most_frequent_errors_and_come_first() -> None:
    wrong: dict[tuple[str, str], int] = {}
    for seed in range(4):
        path = Path(f"results/{VARIANT}/{seed}/evaluate/confusion.csv")
        path.write_text(path.read_text() + "test,class 6,class 5,3\ntest,class 7,class 2,4\ntest,class 5,class 2,2\n")
        for row in rows(str(path)):
            if row["split"] == "test" and row["label"] != row["predicted"]:
                pair = row["label"], row["predicted"]
                wrong[pair] = wrong.get(pair, 0) + int(row["count"])
    shown = write()[0].partition("Most confused:")[2].partition("What a changed")[0].replace("\\", "")
    named = [line[2:].split(" is taken for ") for line in shown.splitlines() if line.startswith("- ")]
    counts = [wrong[html.unescape(a), html.unescape(b)] for a, b in named]
    assert counts == sorted(wrong.values(), reverse=True)[:5]
    assert counts[:3] == [16, 12, 8]


def test_every_caveat_of_the_page_is_on_the_card() -> None:
    from stages.report import page

    card, _ = write()
    found = caveats.build(evidence.read(), None)  # type: ignore[arg-type]
    assert len(found["notes"]) > 3
    for line in found["unfair"] + found["notes"]:
        assert f"- {page.code_in_markdown(line)}\n" in card


def test_the_data_card_is_read_by_its_library_and_gives_the_tables() -> None:
    _, text = write("--data-licence", "CC0-1.0")
    card = mlcroissant.Dataset("export/croissant.json")
    assert not card.metadata.issues.errors
    assert json.loads(text)["license"] == "CC0-1.0"
    for name, path in (
        ("images", "data/clean/manifest.csv"), ("ledger", "data/clean/ledger.csv"),
        ("split-0", "data/split/seeds/0.csv"), ("split-2", "data/split/seeds/2.csv"),
    ):  # fmt: skip
        found = [(row[f"{name}/image_id"] or b"").decode() for row in card.records(name)]
        assert found == [row["image_id"] for row in rows(path)], name
    ledger = [row["status"] for row in rows("data/clean/ledger.csv")]
    assert f"{len(ledger):,} files in, {ledger.count('kept'):,} kept" in json.loads(text)["description"]
    told = {one["name"]: one["description"] for one in json.loads(text)["recordSet"]}
    assert told["split-2"] == "The part of each picture, for seeds 2 and 3."


def test_a_split_of_one_seed_is_told_in_the_singular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, Made(variants=2, seeds=2, seeds_per_split=1))
    monkeypatch.chdir(tmp_path)
    told = {one["name"]: one["description"] for one in json.loads(write()[1])["recordSet"]}
    assert told["split-1"] == "The part of each picture, for seed 1."


def test_licences_are_unknown_until_someone_says_more_and_bytes_come_out_again() -> None:
    first = write()
    assert "Of the weights: unknown." in first[0]
    assert json.loads(first[1])["license"] == "unknown"
    assert write() == first


def test_labels_in_doubt_and_decisions_by_hand_are_counted_on_both_cards(made: Path, tmp_path: Path) -> None:
    """Seven by the networks, three by the audit, of which one is among the seven; two of the nine decided."""
    shutil.copytree(made, tmp_path / "doubted")
    with contextlib.chdir(tmp_path / "doubted"):
        before = write()
        assert "in doubt" not in before[0] + before[1]
        assert "by hand" not in before[0] + before[1]
        params = json.loads(Path("params.yaml").read_text())
        Path("params.yaml").write_text(json.dumps(params | {"aggregate": {"audit": {"folds": 5}}}))
        suspect = rows("reports/suspects.csv")
        images = [row for row in rows("data/clean/ledger.csv") if row["status"] == "kept"][:9]
        columns = Path("reports/suspects.csv").read_text().partition("\n")[0].split(",")
        assert suspect == []
        files.write_rows(
            "reports/suspects.csv", columns,
            [dict.fromkeys(columns, "") | {"image_id": row["image_id"], "found": 12} for row in images[:7]],
        )  # fmt: skip
        files.write_rows(
            "reports/audit/suspects.csv", ["image_id", "label"],
            [{"image_id": row["image_id"], "label": row["label"]} for row in images[6:]],
        )  # fmt: skip
        files.write_json("reports/audit/summary.json", {"found": 3, "left_out": {}, "folds": 5})
        ledger = rows("data/clean/ledger.csv")
        decided = {images[0]["image_id"]: "by hand, keep: seen", images[8]["image_id"]: "x; by hand, relabel to 'a': r"}
        for row in ledger:
            row["detail"] = decided.get(row["image_id"], "not by hand, kept")
        files.write_rows("data/clean/ledger.csv", list(ledger[0]), ledger)
        told = files.read_json("data/clean/audit.json")
        by_hand = {"decisions": 3, "applied": {"drop": 1, "keep": 1, "relabel": 1}, "after_test_figures": 0, "kept": 0,
                   "left_out": 1, "relabelled": 1, "not_applied": []}  # fmt: skip
        files.write_json("data/clean/audit.json", told | {"by_hand": by_hand})
        card, data = write()
        kept = len(rows("data/clean/manifest.csv"))
        limits = json.loads(data)["rai:dataLimitations"]
        part = "`reports/suspects.csv` lists the first 7"
        for sentence in (
            f"Most networks contradict the label of 12 validation or test images ({part}).",
            f"An audit of {kept} images calls 3 labels likely errors (listed in `reports/audit/suspects.csv`).",
            "Of the 9 images listed, 2 were decided by hand.",
        ):
            assert sentence in card
            assert sentence in limits
        assert "3 decisions by hand on files (`data/curation.csv`); applied: 1 dropped, 1 kept and 1 relabelled" in card
        mlcroissant.Dataset("export/croissant.json")


@pytest.mark.slow
def test_a_study_that_reaches_the_code_through_a_link_gets_its_cards(made: Path) -> None:
    (made / "stages").symlink_to(tiny.ROOT / "stages")
    command = [sys.executable, "-m", "stages.export.cards", "--variant", VARIANT]
    try:
        subprocess.run(command, cwd=made, env=os.environ | {"PYTHONPATH": str(tiny.ROOT)}, check=True)
    finally:
        (made / "stages").unlink()
    assert "title = {{Evenhand" in Path("export/README.md").read_text()


@pytest.mark.parametrize(("target", "module"), [("export", "stages.export"), ("register", "stages.export.register")])
def test_make_runs_it_in_the_folder_of_the_study(target: str, module: str) -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "-o", "setup", "-o", "known", target, "STUDY=bananas_proof",
         "VARIANT=it's $HOME", "ARGS=--seed 0"],
        cwd=tiny.ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    shell = told.replace("python -m ", "pwd; printf '%s\\n' ")
    done = subprocess.run(["bash", "-c", shell], cwd=tiny.ROOT, capture_output=True, text=True, check=True).stdout
    folder = str(tiny.ROOT / "studies/bananas_proof")
    assert done.splitlines() == [folder, module, "--variant=it's $HOME", "--seed", "0"]
