"""Chunks of pictures for a cluster, cut without one: each task has the bytes that its digest is of."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.clean.describe import Job
from stages.core.errors import UserError
from stages.tools import cluster_pictures


def nodes() -> cluster_pictures.Nodes:
    made = cluster_pictures.Nodes.__new__(cluster_pictures.Nodes)
    made.ray = SimpleNamespace(put=list)
    return made


def task(path: Path, content: bytes) -> tuple[Job, str]:
    path.write_bytes(content)
    return Job(str(path)), hashlib.sha256(content).hexdigest()


def test_each_task_has_the_bytes_of_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_pictures, "FILES", 3)
    tasks = [task(tmp_path / str(number), b"same" if number < 4 else b"%d" % number) for number in range(7)]
    found = list(nodes()._chunks(tasks))
    assert [len(some) for some, _ in found] == [3, 3, 1]
    assert [one for some, _ in found for one in some] == tasks
    for some, contents in found:
        assert [hashlib.sha256(content).hexdigest() for content in contents] == [digest for _, digest in some]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_file_that_is_gone_is_named(tmp_path: Path, place: int) -> None:
    tasks = [task(tmp_path / f"{number}.png", b"same") for number in range(3)]
    (tmp_path / f"{place}.png").unlink()
    with pytest.raises(UserError, match=rf"{place}\.png: unreadable: the file is not there; .*dvc repro -f ingest"):
        list(nodes()._chunks(tasks))


def test_a_file_that_changed_is_named(tmp_path: Path) -> None:
    tasks = [task(tmp_path / f"{number}.png", b"same") for number in range(3)]
    (tmp_path / "1.png").write_bytes(b"other")
    with pytest.raises(UserError, match=r"1\.png changed while it was read"):
        list(nodes()._chunks(tasks))
