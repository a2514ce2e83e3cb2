"""`python -m stages.predict`: the study's own figures come out again, and nothing that it is given ends it."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.core import files, intact
from stages.core.errors import UserError
from stages.predict import champion, pictures
from stages.predict.__main__ import main
from tests import tiny

pytestmark = pytest.mark.slow
SEEDS = [0, 1]
DRY = ["make", "--no-print-directory", "--dry-run", "-o", "setup", "-o", "known"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was trained: one network, two seeds."""

    def change(params: dict) -> None:  # type: ignore[type-arg]
        params["seeds"] = SEEDS
        params["variants"] = {"mlp": {"model": {"name": "mlp", "widths": [8]}, "epochs": 20, "lr": 0.01}}
        params["evaluate"]["robustness"] = {}

    folder = tiny.copy(tmp_path_factory.mktemp("predict"), change)
    for stage in ("ingest", "clean", "split"):
        tiny.run(folder, "python", "-m", f"stages.{stage}")
    for seed in SEEDS:
        for stage in ("train", "evaluate"):
            tiny.run(folder, "python", "-m", f"stages.{stage}", "--variant", "mlp", "--seed", str(seed))
    return folder


@pytest.fixture(autouse=True)
def inside(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)


def predict(_study: Path, *arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["predict", *arguments])
        main()


def table(study: Path, *arguments: str) -> list[dict[str, str]]:
    predict(study, *arguments, "--format", "csv", "--out", "predicted.csv")
    return read(study / "predicted.csv")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_test_set_gets_its_stored_logits(study: Path) -> None:
    """Of the pictures as they were scraped: calibrated probabilities, recomputed from logits.npz."""
    ledger = {row["image_id"]: row["path"] for row in read(study / "data/clean/ledger.csv")}
    split = [r for r in read(study / "data/split/seeds/0.csv") if r["split"] == "test"]
    (study / "list.txt").write_text("".join(f"../source/{ledger[r['image_id']]}\n" for r in split))
    rows = table(study, "@list.txt", "--variant", "mlp", "--seed", "0", "--top", "3")
    metrics = read(study / "results/mlp/0/evaluate/metrics.csv")
    heat = next(float(r["value"]) for r in metrics if (r["split"], r["metric"]) == ("val", "temperature"))
    classes = json.loads((study / "data/split/classes.json").read_text())
    logits = np.load(study / "runs/mlp/0/logits.npz")["test"].astype(float) / heat
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert len(rows) == len(split) > 5
    for row, chance in zip(rows, chances, strict=True):
        said = {row[f"label{r}"]: float(row[f"probability{r}"]) for r in ("", "_2", "_3")}
        assert said == pytest.approx(dict(zip(classes, chance, strict=True)), abs=1e-6)
        assert row["label"] == classes[int(chance.argmax())]


def test_all_seeds_are_averaged(study: Path) -> None:
    picture = str(next(iter(sorted((study.parent / "source/8").glob("*.png")))))
    each = [table(study, picture, "--variant", "mlp", "--seed", str(seed), "--top", "3")[0] for seed in SEEDS]
    both = table(study, picture, "--variant", "mlp", "--top", "3")[0]

    def chances(row: dict[str, str]) -> dict[str, float]:
        return {row[f"label{r}"]: float(row[f"probability{r}"]) for r in ("", "_2", "_3")}

    mean = {label: np.mean([chances(row)[label] for row in each]) for label in chances(both)}
    assert chances(both) == pytest.approx(mean, abs=2e-6)


def test_whatever_cannot_be_read_is_named_and_the_rest_goes_on(study: Path, tmp_path: Path) -> None:
    good = next(iter((study.parent / "source/9").glob("*.png")))
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(good, folder / "=HYPERLINK(1).png")
    (folder / "cut.png").write_bytes(good.read_bytes()[:60])
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / ".hidden.png").write_bytes(good.read_bytes())
    predict(study, str(folder), "--variant", "mlp", "--format", "jsonl", "--out", "predicted.jsonl")
    rows = {Path(row["path"]).name: row for row in map(json.loads, Path("predicted.jsonl").read_text().splitlines())}
    assert set(rows) == {"=HYPERLINK(1).png", "cut.png", "text.jpg", "empty.png"}
    assert rows["=HYPERLINK(1).png"]["top"][0]["label"] == "9"
    for name in ("cut.png", "text.jpg", "empty.png"):
        assert rows[name]["problem"]
        assert rows[name]["top"] == []
    written = table(study, str(folder), "--variant", "mlp")
    assert len(written) == 4
    assert not any(value.startswith(("=", "+", "-", "@")) for row in written for value in row.values())


def test_the_output_may_be_a_pipe_or_a_link_but_no_folder(study: Path, tmp_path: Path) -> None:
    """A device or pipe is written to and not replaced; so is the file behind a link."""
    picture = str(next((study.parent / "source").rglob("*.png")))
    pipe, link, folder = tmp_path / "pipe", tmp_path / "link.csv", tmp_path / "folder"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        predict(study, picture, "--variant", "mlp", "--format", "csv", "--out", str(pipe))
        assert reader.communicate(timeout=60)[0].startswith("path,label")
    assert pipe.is_fifo()
    link.symlink_to(tmp_path / "real.csv")
    predict(study, picture, "--variant", "mlp", "--format", "csv", "--out", str(link))
    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("path,label")
    folder.mkdir()
    with pytest.raises(UserError, match="is a folder; name a file in it"):
        predict(study, picture, "--variant", "mlp", "--out", str(folder))
    with pytest.raises(UserError, match=r"cannot write /proc/none\.csv"):
        predict(study, picture, "--variant", "mlp", "--out", "/proc/none.csv")
    with pytest.raises(UserError, match="is a folder; name it without the @"):
        predict(study, f"@{folder}", "--variant", "mlp")


def test_what_is_missing_is_made_by_the_command_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, command in (("studies/mine", "`make study STUDY=mine`"), ("mine", "`dvc repro`")):
        (tmp_path / place).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / place)
        assert files.again() == command


def test_a_strange_picture_is_called_unlike_and_few_known_ones_are(study: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    assert table(study, str(tmp_path / "grey.png"), "--variant", "mlp")[0]["unlike"] == "1"
    known = table(study, str(study.parent / "source"), "--variant", "mlp", "--seed", "0")
    split = {r["image_id"]: r["split"] for r in read(study / "data/split/seeds/0.csv")}
    largest = np.load(study / "runs/mlp/0/logits.npz")
    threshold = np.quantile(largest["val"].max(axis=1), 0.05)
    parts = [part for part in ("train", "val", "test") if part in set(split.values())]
    expected = sum(int((largest[part].max(axis=1) < threshold).sum()) for part in parts)
    assert sum(row["unlike"] == "1" for row in known) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.png"], "nowhere.png is not there"),
        (["@nowhere.txt"], "the list nowhere.txt is not there"),
        (["../source", "--variant", "vgg"], "no variant 'vgg'; its variants are mlp"),
        (["../source", "--variant", "mlp", "--seed", "7"], "no seed 7; its seeds are 0, 1"),
    ],
)
def test_errors_name_the_way_out(study: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        predict(study, *arguments)


def test_the_champion_is_the_cheapest_that_validation_does_not_tell_from_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Means and SDs over four seeds: `large` is best, `small` within its standard error, `poor` is not."""
    figures = {"large": (0.90, 0.04, 900), "small": (0.885, 0.01, 90), "poor": (0.87, 0.2, 9), "prior": (0.99, 0, 0)}
    (tmp_path / "reports").mkdir()
    rows = "".join(
        f"{name},val,top1,4,{mean},{sd},,\n{name},test,top1,4,{1 - mean},{sd},,\n"
        for name, (mean, sd, _) in figures.items()
    )
    (tmp_path / "reports/summary.csv").write_text("variant,split,metric,n,mean,sd,ci_low,ci_high\n" + rows)
    for name, (_, _, macs) in figures.items():
        (tmp_path / "results" / name / "0" / "evaluate").mkdir(parents=True)
        (tmp_path / "results" / name / "0" / "evaluate/cost.json").write_text(json.dumps({"macs": macs}))
    monkeypatch.chdir(tmp_path)
    from stages.core.params import Study

    def chosen(**aggregate: str) -> champion.Choice:
        variants = {name: {"model": {"name": "random" if name == "prior" else "mlp"}} for name in figures}
        return champion.choose(Study("s", 0.1, [0, 1, 2, 3], variants, {"aggregate": aggregate}))

    assert chosen().variant == "small"
    assert "within one standard error (0.0200) of the best (large" in chosen().why
    assert chosen(compare="robustness_drop").variant == "small"  # which is measured on test images alone
    text = (tmp_path / "reports/summary.csv").read_text()
    (tmp_path / "reports/summary.csv").write_text(text.replace(",top1,", ",nll,"))
    assert chosen(compare="nll").variant == "poor"  # the lowest


def test_a_list_comes_from_standard_input_and_a_table_goes_to_a_terminal(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next(iter(sorted((study.parent / "source/10").glob("*.png"))))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{picture}\n\n".encode())))
    predict(study, "-", "--variant", "mlp", "--format", "table", "--top", "1")
    assert re.fullmatch(rf"{re.escape(str(picture))}: 10 \d+\.\d%\n", capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "table"])
@pytest.mark.parametrize("way", ["-", "@list", "folder"])
def test_names_that_are_no_text_are_predicted_and_shown(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes],
    kind: str, way: str,
) -> None:  # fmt: skip
    """As `find -print0` lists them: bytes that are not UTF-8, a line end within a name, a sign that ends lines."""
    picture = next(iter(sorted((study.parent / "source/10").glob("*.png"))))
    names = [b"caf\xe9.png", b"two\nlines.png", "a\u2028b.png".encode()]
    folder = tmp_path / "new"
    folder.mkdir()
    paths = [os.fsencode(folder) + b"/" + name for name in names]
    for path in paths:
        shutil.copy(picture, os.fsdecode(path))
    (tmp_path / "list").write_bytes(b"\0".join(paths) + b"\0")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\0".join(paths) + b"\0"), "ascii"))
    asked = {"-": "-", "@list": f"@{tmp_path / 'list'}", "folder": str(folder)}[way]
    for out in ([], ["--out", str(tmp_path / "out")]):
        if out and way == "-":
            continue  # it is read
        predict(study, asked, "--variant", "mlp", "--format", kind, "--top", "1", *out)
        said = (tmp_path / "out").read_bytes() if out else capsysbinary.readouterr().out
        assert b"caf\\udce9.png" in said
        good = {"csv": rb",10,[01]\.\d+,\d,\n", "jsonl": rb'"label": "10"', "table": rb": 10 \d+\.\d%"}[kind]
        assert len(re.findall(good, said)) == 3, said


def test_lines_end_with_a_line_end_alone_and_a_list_in_utf_16_is_named(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("\ufeffa\x0bb\r\n\n\x85c\u2028\n".encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.path.lexists", lambda _: True)
        assert pictures.paths([f"@{tmp_path / 'list'}"]) == ["a\x0bb", "\x85c\u2028"]
    (tmp_path / "list").write_bytes("a.png\n".encode("utf-16"))
    with pytest.raises(UserError, match="list is UTF-16; save it as UTF-8"):
        pictures.paths([f"@{tmp_path / 'list'}"])


def test_a_folder_that_cannot_be_listed_is_named(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next(iter(sorted((study.parent / "source/10").glob("*.png"))))
    (tmp_path / "closed").mkdir()
    shutil.copy(picture, tmp_path / "a.png")
    scan = os.scandir

    def refused(path: str) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr("os.scandir", refused)  # the rights of a folder do not hold for root
    rows = table(study, str(tmp_path), "--variant", "mlp")
    assert [(Path(row["path"]).name, bool(row["problem"])) for row in rows] == [("a.png", False), ("closed", True)]
    assert "2 files, 1 of them not read" in capsys.readouterr().err


def test_networks_of_different_data_are_not_mixed(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a relabel and an interrupted `make study`, the second network has other classes, or another size."""
    shutil.copytree(study, tmp_path / "mixed", ignore=shutil.ignore_patterns(".git", "export"))
    monkeypatch.chdir(tmp_path / "mixed")
    path = Path("results/mlp/1/train/config.json")
    config = json.loads(path.read_text())
    picture = str(next(iter(sorted((study.parent / "source/10").glob("*.png")))))
    path.write_text(json.dumps(config | {"classes": config["classes"][::-1]}))
    with pytest.raises(UserError, match="different data; `dvc repro` trains them"):
        predict(study, picture, "--variant", "mlp")
    assert table(Path(), picture, "--variant", "mlp", "--seed", "1")[0]["problem"] == ""
    path.write_text(json.dumps(config))
    assert table(Path(), picture, "--variant", "mlp")[0]["label"] == "10"


@pytest.mark.parametrize("name", ["a b", "it's", 'say "x"', "$HOME", "รูปภาพ", "-pictures", "a#b", "@list", "-"])
@pytest.mark.parametrize("within", [[], ["STUDY=bananas_proof", "VARIANT=a 'b'"]], ids=["here", "study"])
def test_make_hands_on_any_path(name: str, within: list[str]) -> None:
    told = subprocess.run(
        [*DRY, "predict", f"IMAGES={name}", "ARGS=--top 2", *within],
        cwd=tiny.ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    shell = told.replace("python -m stages.predict", "printf '%s\\n'")
    words = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
    study = ["--study=studies/bananas_proof", "--variant=a 'b'"] if within else []
    assert words == [*study, "--top", "2", "--", name]


def test_a_study_elsewhere_and_paths_from_here(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--study` names the folder of the study; pictures, lists and `--out` are paths from where the command runs."""
    picture = next(iter(sorted((study.parent / "source/10").glob("*.png"))))
    here = tmp_path / "a b"
    here.mkdir()
    shutil.copy(picture, here / "-it's one.png")
    (here / "list.txt").write_text("-it's one.png\n")
    monkeypatch.chdir(here)
    for asked in (["--", "-it's one.png"], ["--", "@list.txt"]):
        predict(here, "--study", str(study), "--variant", "mlp", "--format", "csv", "--out", "out.csv", *asked)
        row = read(here / "out.csv")[0]
        assert (intact.unescaped(row["path"]), row["label"], row["problem"]) == ("-it's one.png", "10", "")
    assert Path.cwd() == here


def test_chunks_side_by_side_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.predict import model
    from stages.train import feed, predict

    loaded = model.load("mlp", 0, 0.05).loaded
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 3), dtype=np.uint8)
    expected = [predict.logits(loaded, images[start : start + 4]) for start in range(0, 90, 4)]
    monkeypatch.setattr(feed, "chunks", lambda n, _: (slice(i, min(i + 4, n)) for i in range(0, n, 4)))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3, 4})
    assert np.array_equal(model._logits(loaded, images), np.concatenate(expected))
