"""`dvc repro` reads the source as `ingest` does: whatever lies in it, nothing stops, ends or is followed out of it."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.core import curation
from tests import tiny

DVC = ("timeout", "60", sys.executable, "-m", "dvc")
PNG = "8/0.png"


def a_socket(path: Path) -> None:
    back = Path.cwd()
    os.chdir(path.parent)  # a socket's path has 108 bytes at most
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(back)


def a_link(to: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(to)


def not_utf8(path: Path) -> None:
    (path.parent / os.fsdecode(b"\xff\xfe.png")).write_bytes((path.parent / "0.png").read_bytes() + b"1")


def folder_not_utf8(path: Path) -> None:
    folder = path.parents[1] / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a.png").write_bytes((path.parent / "0.png").read_bytes() + b"2")


def loop_of_folders(path: Path) -> None:
    (path.parent / "again").symlink_to("..")


def ignore_file(path: Path) -> None:
    (path.parent / ".dvcignore").write_text("*\n")


def repository(path: Path) -> None:
    (path.parent / "inner/.dvc").mkdir(parents=True)
    shutil.copy(path.parent / "0.png", path.parent / "inner/a.png")


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {  # what lies at 8/odd.png, and what the manifest says of it
    "pipe": (os.mkfifo, "not_a_file"),
    "socket": (a_socket, "not_a_file"),
    "device": (a_link("/dev/zero"), "not_a_file"),
    "dangling": (a_link("nowhere.png"), "dangling_link"),
    "loop": (a_link("odd.png"), "link_loop"),
    "out": (a_link("/etc/passwd"), "link_leads_out"),
    "relative out": (a_link("../../secret.png"), "link_leads_out"),
    "everything": (a_link("/"), "link_to_folder"),
    "process": (a_link("/proc/self/fd/0"), "not_a_file"),
    "loop of folders": (loop_of_folders, "link_to_folder"),
    "name": (not_utf8, ""),
    "name of a folder": (folder_not_utf8, ""),
    "ignore file": (ignore_file, "hidden"),
    "repository": (repository, ""),
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    study = tiny.copy(tmp_path)
    (tmp_path / "secret.png").write_bytes(b"not of the source")
    return study


def rows(study: Path) -> list[dict[str, str]]:
    with (study / "data/raw/manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def ingested(study: Path, guard: str, *command: str) -> list[dict[str, str]]:
    tiny.run(study, *DVC, *(command or ("repro", "ingest")), PYTHONPATH=guard)
    assert json.loads(tiny.run(study, *DVC, "status", "ingest", "--json", PYTHONPATH=guard)) == {}
    return rows(study)


def recorded(study: Path) -> dict[str, object]:
    (source,) = [
        dep
        for dep in YAML(typ="safe").load((study / "dvc.lock").read_text())["stages"]["ingest"]["deps"]
        if dep["path"].endswith("source")
    ]
    return {key: source[key] for key in ("md5", "size", "nfiles")}


@pytest.mark.slow
@pytest.mark.weekly  # all kinds at once are tested below
@pytest.mark.parametrize("kind", KINDS)
def test_one_odd_entry_costs_nothing_else(study: Path, guard: str, kind: str) -> None:
    make, said = KINDS[kind]
    make(study.parent / "source/8/odd.png")
    found = ingested(study, guard)
    assert sorted(row["problem"] for row in found if row["problem"]) == ([said] if said else [])
    assert sum(not row["problem"] for row in found) == 60 + (not said)


def test_all_odd_entries_at_once(study: Path, guard: str) -> None:
    source = study.parent / "source"
    for number, (kind, (make, _)) in enumerate(KINDS.items()):
        label = source / f"{number} {kind}"
        label.mkdir()
        shutil.copy(source / PNG, label / "0.png")
        make(label / "odd.png")
    found = ingested(study, guard)
    assert sum(bool(row["problem"]) for row in found) == sum(bool(said) for _, said in KINDS.values())
    assert all((study / "data/raw" / row["file"]).is_file() for row in found if row["file"])
    before = recorded(study)
    assert before["nfiles"] == 60 + 2 * len(KINDS)
    changed = next(source.glob("*/" + os.fsdecode(b"\xff\xfe.png")))
    changed.write_bytes(changed.read_bytes() + b"3")
    status = json.loads(tiny.run(study, *DVC, "status", "ingest", "--json", PYTHONPATH=guard))
    assert status == {"ingest": [{"changed deps": {str(source): "modified"}}]}, "a picture with an odd name counts"


@pytest.mark.slow
def test_an_ordinary_source_has_the_hash_that_dvc_gives_it(study: Path, guard: str, bare: str) -> None:
    label = study.parent / "source/8"
    (label / "link.png").symlink_to("0.png")
    (label / ".hidden.png").write_bytes(b"1")
    (label / "two\nlines.png").write_bytes(b"2")
    (label / "empty.png").touch()
    (label / "é\u202e.png").write_bytes(b"3")
    tiny.run(study, *DVC, "repro", "ingest", PYTHONPATH=bare)
    without = recorded(study)
    tiny.run(study, *DVC, "repro", "--force", "ingest", PYTHONPATH=guard)
    assert recorded(study) == without
    assert without["nfiles"] == 65


@pytest.mark.slow
def test_links_that_may_leave_count_with_what_they_lead_to(study: Path, guard: str) -> None:
    tiny.edit(study / "params.yaml", lambda params: params["ingest"].update(links_out=True))
    (study.parent / "source/8/odd.png").symlink_to("../../secret.png")
    assert all(not row["problem"] for row in ingested(study, guard))
    (study.parent / "secret.png").write_bytes(b"another")
    status = json.loads(tiny.run(study, *DVC, "status", "ingest", "--json", PYTHONPATH=guard))
    assert list(status) == ["ingest"]


@pytest.mark.slow
def test_experiments_read_it_too(study: Path, guard: str) -> None:
    source = study.parent / "source"
    os.mkfifo(source / "8/pipe.png")
    not_utf8(source / "8/odd.png")
    (source / "8/out.png").symlink_to("/dev/zero")
    found = ingested(study, guard, "exp", "run", "-S", "lr=0.002", "ingest")
    assert [row["problem"] for row in found if row["problem"]] == ["not_a_file", "not_a_file"]
    assert len(found) == 63


@pytest.mark.slow
def test_an_unplugged_source_leaves_what_was_brought_in(study: Path, guard: str) -> None:
    ingested(study, guard)
    (study.parent / "source").rename(study.parent / "unplugged")
    output = tiny.run(study, *DVC, "repro", check=False, PYTHONPATH=guard)
    assert "source, which is not there; " in output
    assert len(rows(study)) == 60, "data/raw is still there"
    shutil.rmtree(study / "data/raw")
    for way_out in (("checkout", "ingest"), ("repro", "--allow-missing", "split")):
        assert f"`dvc {' '.join(way_out).removesuffix(' split')}`" in output
        tiny.run(study, *DVC, *way_out, PYTHONPATH=guard)
    assert (study / "data/split/classes.json").is_file()


@pytest.mark.slow
def test_without_the_file_of_decisions_nothing_is_removed(study: Path, guard: str) -> None:
    ingested(study, guard)
    tiny.run(study, *DVC, "repro", "clean", PYTHONPATH=guard)
    (study / "data/curation.csv").unlink()
    (study / "data/raw/manifest.csv").touch()
    output = tiny.run(study, *DVC, "repro", "clean", check=False, PYTHONPATH=guard)
    (line,) = re.findall(r"write a file with the one line `(.*?)`", output)
    assert (study / "data/clean/ledger.csv").is_file()
    (study / "data/curation.csv").write_text(f"{line}\n", encoding="utf-8")
    assert curation.read(study / "data/curation.csv") == []
    tiny.run(study, *DVC, "repro", "clean", PYTHONPATH=guard)


@pytest.mark.parametrize(
    "path", ["/dev/zero", *(pytest.param(path, marks=pytest.mark.slow) for path in ("pipe", "dangling", "loop"))]
)
def test_a_source_that_is_no_source_gets_a_sentence(study: Path, guard: str, path: str) -> None:
    os.mkfifo(study / "pipe")
    (study / "dangling").symlink_to("nowhere")
    (study / "loop").symlink_to("loop")
    tiny.edit(study / "params.yaml", lambda params: params["ingest"].update(path=path))
    output = tiny.run(study, *DVC, "repro", "ingest", "--single-item", check=False, PYTHONPATH=guard)
    assert f"`ingest.path` is {path}, which is no file and no folder that can be read" in output
    assert "dvc checkout" not in output, "nothing was brought in yet"


def inside(study: Path, place: str) -> Path:
    """The source, moved into the repository of the study."""
    source = study / place
    source.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(study.parent / "source", source)
    tiny.edit(study / "params.yaml", lambda params: params["ingest"].update(path=place))
    return source


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hider", "content"),
    [
        (".dvcignore", "*\n"),
        ("8/.dvcignore", "0.png\n"),
        ("8/.dvc/config", ""),
        ("8/.git/HEAD", ""),
        (".dvc/config", ""),
    ],
)
def test_nothing_in_a_source_inside_the_repository_hides_a_change(
    study: Path, guard: str, hider: str, content: str
) -> None:
    source = inside(study, "pictures")
    (source / hider).parent.mkdir(parents=True, exist_ok=True)
    (source / hider).write_text(content)
    found = ingested(study, guard)
    assert sum(not row["problem"] for row in found) == 60
    (source / PNG).write_bytes((source / PNG).read_bytes() + b"1")
    status = json.loads(tiny.run(study, *DVC, "status", "ingest", "--json", PYTHONPATH=guard))
    assert status == {"ingest": [{"changed deps": {"pictures": "modified"}}]}


@pytest.mark.slow
def test_an_old_locale_changes_no_name_and_no_hash(study: Path, guard: str, tmp_path: Path) -> None:
    """DVC lists the source and stores data/raw under the names that they have."""
    source = study.parent / "source"
    (source / "b\u00e9").mkdir()
    shutil.copy(source / PNG, source / "b\u00e9/\u65e5\u672c.png")
    made = tmp_path / "en_US.ISO-8859-1"
    if subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", made], capture_output=True, check=False
    ).returncode:
        pytest.skip("no Latin-1 locale can be made here")
    old: dict[str, Any] = {"LOCPATH": str(tmp_path), "LC_ALL": made.name, "PYTHONUTF8": "0"}
    tiny.run(study, *DVC, "repro", "ingest", PYTHONPATH=guard, **old)
    first = recorded(study)
    assert json.loads(tiny.run(study, *DVC, "status", "ingest", "--json", PYTHONPATH=guard, LC_ALL="C.UTF-8")) == {}
    shutil.rmtree(study / "data/raw")
    tiny.run(study, *DVC, "checkout", "ingest", PYTHONPATH=guard, **old)
    assert (study / "data/raw/files/b\u00e9/\u65e5\u672c.png").read_bytes() == (source / PNG).read_bytes()
    assert recorded(study) == first
