"""Names, labels and links as scrapes, archives and other systems leave them."""

import itertools
import os
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import pytest

from stages.core import files
from stages.core.labels import alike, tidy
from stages.ingest import entry
from stages.ingest.entry import Names, is_hidden, printable
from tests.ingest.test_ingest import PNG, ROOT, bring


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tree(folder: Path, *names: str) -> Path:
    """Files of different content under these names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PNG.getvalue() + bytes([number]))
    return folder


def everything_is_there(source: Path, names: list[str]) -> None:
    """A row for each file, and the bytes of each that was brought in under a name of its own."""
    rows = files.read_rows("data/raw/manifest.csv")
    assert len(rows) == len(names)
    brought = [row["file"] for row in rows if row["file"]]
    assert len(set(brought)) == len(brought)
    found = sorted((Path("data/raw") / file).read_bytes() for file in brought)
    assert found == sorted((source / name).read_bytes() for name in names)


def test_a_carriage_return_in_a_name_is_one_row(tmp_path: Path) -> None:
    names = ["a/Icon\r2", "a/\r", "a/x\r\ny.png", "a/x\ny.png", "b\r/1.png", 'b/"\r', "b/,\r,.png"]
    bring("folder", tree(tmp_path / "s", *names))
    everything_is_there(tmp_path / "s", names)
    assert {row["path"] for row in files.read_rows("data/raw/manifest.csv")} == set(names)


def test_names_that_cannot_be_written_are_escaped_and_stay_apart(tmp_path: Path) -> None:
    names = [
        os.fsdecode(b"a/\xff.png"), "a/\\udcff.png", os.fsdecode(b"a/\xfe.png"),
        os.fsdecode(b"\xff/1.png"), "\\udcff/1.png", os.fsdecode(b"a/" + b"\xff" * 250),
        os.fsdecode(b"a/" + b"\xff" * 251),
    ]  # fmt: skip
    rows = bring("folder", tree(tmp_path / "s", *names))
    everything_is_there(tmp_path / "s", names)
    assert len({row["label"] for row in rows.values()}) == 3, "two folders are two labels"


@pytest.mark.slow
@pytest.mark.parametrize("special", [".dvc", ".git", ".dvcignore", ".DVC", ".hg", ".Git"])
def test_dvc_keeps_what_is_called_like_its_own(tmp_path: Path, special: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a/1.png", f"a/{special}/2.png", f"{special}/3.png", f"b/c/{special}", "b/x.dvc", "b/dvc.yaml"]
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")
    source = tree(tmp_path / "s", *names)
    rows = bring("folder", source)
    assert sorted(row["problem"] for row in rows.values()) == ["", "", "", "hidden", "hidden", "hidden"]
    bring("folder", source, hidden=True)
    everything_is_there(source, names)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    Path(".dvcignore").write_bytes((ROOT / ".dvcignore").read_bytes())
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data/raw"], check=True)
    assert f"nfiles: {len(names) + 1}" in Path("data/raw.dvc").read_text()


def test_what_systems_leave_is_no_class_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = ["cat/1.png", "dog/2.png", "dog/thumbs.png", "cat/icon", "dog/found.png", "CVS/1.png", "dog/~1.png"]
    left = [
        "cat/.ipynb_checkpoints/1-checkpoint.png", "@eaDir/1.png", "cat/@eaDir/1.png/SYNOPHOTO.jpg", ".DS_Store",
        "cat/Thumbs.db", "cat/desktop.ini", "__MACOSX/cat/._1.png", "cat/._1.png", "$RECYCLE.BIN/1.png", "cat/Icon\r",
        "@Recently-Snapshot/1.png", "found.000/1.png", "FOUND.017/1.png", "dog/Previews.lrdata/1.png", "cat/~$1.png",
        "cat/1.png@SynoEAStream", "cat/1.png@SynoResource", "cat/Thumbs.db:encryptable", "cat/IconCache.db",
    ]  # fmt: skip
    source = tree(tmp_path / "s", *pictures, *left)
    rows = bring("folder", source)
    problems = {path: row["problem"] for path, row in rows.items()}
    assert problems == dict.fromkeys(pictures, "") | dict.fromkeys(left, "hidden")
    assert {row["label"] for row in rows.values()} == {"cat", "dog", "CVS", ""}
    assert "19 hidden" in capsys.readouterr().err
    bring("folder", source, hidden=True)
    everything_is_there(source, [*pictures, *left])


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    tree(tmp_path / "elsewhere", "secret.png")
    source = tree(tmp_path / "s", "a/1.png")
    (source / "a/absolute.png").symlink_to(tmp_path / "elsewhere/secret.png")
    (source / "a/relative.png").symlink_to("../../elsewhere/secret.png")
    (source / "a/chain.png").symlink_to("relative.png")
    (source / "a/inside.png").symlink_to("../a/1.png")
    (source / "a/folder").symlink_to(tmp_path / "elsewhere")
    (source / "a/passwd").symlink_to("/etc/passwd")
    outside = {f"a/{name}" for name in ("absolute.png", "relative.png", "chain.png", "passwd")}
    rows = bring("folder", source)
    assert {path: row["problem"] for path, row in rows.items()} == {
        "a/1.png": "", "a/inside.png": "", "a/folder": "link_to_folder", **dict.fromkeys(outside, "link_leads_out"),
    }  # fmt: skip
    assert not any((Path("data/raw/files") / path).exists() for path in outside)
    assert bring("folder", source, links_out=True)["a/absolute.png"]["problem"] == ""


def test_labels_that_read_the_same_are_one_or_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    twins = ["cat", "Cat", "ca\u200bt", "cat\ufe0f", "c\u034fat", "cat\u3164"]
    names = [f"{label}/1.png" for label in (composed, decomposed, "cat ", " cat", *twins)]
    rows = bring("folder", tree(tmp_path / "s", *names))
    everything_is_there(tmp_path / "s", names)
    assert {row["label"] for row in rows.values()} == {"café", *twins}
    told = ", ".join(map(ascii, sorted(twins)))
    assert f"the labels {told} look the same" in capsys.readouterr().err


def test_a_class_with_nothing_in_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tree(tmp_path / "s", "cat/1.png")
    (source / "empty").mkdir()
    (source / "broken").mkdir()
    (source / "broken/1.png").symlink_to("nowhere")
    bring("folder", source)
    told = capsys.readouterr().err
    assert "s/empty is empty: there will be no such class" in told
    assert "nothing of the label 'broken' could be brought in" in told


def test_labels_are_utf8_under_every_locale(tmp_path: Path) -> None:
    tree(tmp_path / "s", "b é/1.png", "日本/2.png")
    program = (
        "from stages.core import errors; from stages.ingest import ingest\n"
        "from stages.ingest.params import check_source\n"
        "errors.run(lambda: ingest(check_source({'source': 'folder', 'path': 's'})) and None)"
    )
    (tmp_path / "go.py").write_text(program)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "go.py"], check=True, env=os.environ | plain)
    assert {row["label"] for row in files.read_rows("data/raw/manifest.csv")} == {"b é", "日本"}


def test_the_names_of_one_source_never_meet() -> None:
    names = Names()
    paths = [
        "a",
        "a/b",
        "\udcff",
        "\\udcff",
        "\\udcff~2",
        ".git",
        ".gi\\x74",
        "\udcff/x.png",
        "\\udcff/x.png",
        "x" * 255,
    ]
    assert len({names(path) for path in paths}) == len(paths)
    assert [names(path) for path in paths] == [names(path) for path in paths]
    assert all(len(part.encode()) <= 255 for path in paths for part in names(path).split("/"))


def test_many_names_that_differ_in_case_are_numbered_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive of 300 KB may have 65,536 of them."""
    asked: list[str] = []
    folded = entry._folded

    def counted(path: str) -> str:
        asked.append(path)
        return folded(path)

    monkeypatch.setattr(entry, "_folded", counted)
    names = Names()
    spelled = ["".join(letters) for letters in itertools.product(*(f"{c}{c.upper()}" for c in "abcdefghij"))]
    assert len({folded(names.file(f"{name}.png")) for name in spelled}) == 1024
    assert len(asked) <= 5 * 1024


def test_giant_names_are_shown_short() -> None:
    assert len(printable("x" * 10**7)) < 200
    assert printable("x" * 10**6) != printable("x" * (10**6 - 1) + "y")
    assert is_hidden("a/.b/c")
    assert not is_hidden("a/b.c")
    assert tidy(" a\u0301 ") == "\u00e1"
    assert alike({"a", "b"}) == []


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_names_that_one_system_takes_for_the_same_have_two_files(tmp_path: Path, kind: str) -> None:
    names = ["a/A.png", "a/a.png", "a/a~2.png", "a/e\u0301.png", "a/\u00e9.png", "B/1.png", "b/1.png", "b/2.png"]
    source = tree(tmp_path / "s", *names)
    if kind == "archive":
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            for name in names:
                archive.write(source / name, name)
    rows = bring(kind, source if kind == "folder" else tmp_path / "s.zip")
    assert set(rows) == set(names)
    assert len({unicodedata.normalize("NFC", row["file"]).casefold() for row in rows.values()}) == len(names)
    assert all(
        (Path("data/raw") / row["file"]).read_bytes() == (source / name).read_bytes() for name, row in rows.items()
    )
    assert rows["b/2.png"]["file"] == "files/b/2.png"
