"""Pictures for a cluster, without one: the chunks that nodes get, and what becomes of their answers."""

import hashlib
import pickle
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.clean.describe import Job
from stages.core.errors import UserError
from stages.tools import prints


def task(path: Path, content: bytes) -> tuple[Job, str]:
    path.write_bytes(content)
    return Job(str(path)), hashlib.sha256(content).hexdigest()


def test_each_task_has_the_bytes_of_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prints, "FILES", 3)
    tasks = [task(tmp_path / str(number), b"same" if number < 4 else b"%d" % number) for number in range(7)]
    found = list(prints.chunks(tasks))
    assert [len(some) for some, _ in found] == [3, 3, 1]
    assert [one for some, _ in found for one in some] == tasks
    for some, contents in found:
        assert [hashlib.sha256(content).hexdigest() for content in contents] == [digest for _, digest in some]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_file_that_is_gone_is_named(tmp_path: Path, place: int) -> None:
    tasks = [task(tmp_path / f"{number}.png", b"same") for number in range(3)]
    (tmp_path / f"{place}.png").unlink()
    with pytest.raises(UserError, match=rf"{place}\.png: unreadable: the file is not there; .*dvc repro -f ingest"):
        list(prints.chunks(tasks))


def test_a_file_that_changed_is_named(tmp_path: Path) -> None:
    tasks = [task(tmp_path / f"{number}.png", b"same") for number in range(3)]
    (tmp_path / "1.png").write_bytes(b"other")
    with pytest.raises(UserError, match=r"1\.png changed while it was read"):
        list(prints.chunks(tasks))


class Lost(Exception):  # noqa: N818 - in the place of Ray's error of a node that is gone
    """As `ray.exceptions.RayError`."""


class Failed(Lost):
    """As `ray.exceptions.RayTaskError`."""


def nodes(answer: Callable[[list[Any]], Any]) -> prints.Nodes:
    """Nodes of two cores; `answer` gives what comes back for the tasks of a chunk, when it is asked for."""
    made = prints.Nodes.__new__(prints.Nodes)
    made.name, made.versions, made.code, made.asked = "study", {}, [], deque()
    made.job = SimpleNamespace(remote=lambda *arguments: pickle.loads(arguments[3])[1])  # noqa: S301 - made here
    made.ray = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 2.0}, get=answer,
        exceptions=SimpleNamespace(RayError=Lost, RayTaskError=Failed),
    )  # fmt: skip
    return made


def described(made: prints.Nodes, tasks: list[Any]) -> list[Any]:
    return list(made.each(str, tasks, workers=1, seconds=1, gigabytes=1))


def test_results_come_in_the_order_of_the_tasks_and_few_chunks_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prints, "FILES", 3)
    tasks = [task(tmp_path / str(number), b"%d" % number) for number in range(50)]
    waiting: list[int] = []

    def answer(chunk: list[Any]) -> list[str]:
        waiting.append(len(made.asked) + 1)
        return [digest for _, digest in chunk]

    made = nodes(answer)
    assert described(made, tasks) == [digest for _, digest in tasks]
    assert max(waiting) == 2 * prints.AHEAD


def test_a_chunk_that_is_lost_is_left_to_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prints, "FILES", 2)
    tasks = [task(tmp_path / str(number), b"%d" % number) for number in range(5)]

    def answer(chunk: list[Any]) -> list[str]:
        if tasks[2] in chunk:
            raise Lost("the node died")
        return ["here"] * len(chunk)

    assert [str(one) for one in described(nodes(answer), tasks)] == [
        "here", "here", *["unreadable: left to the stage"] * 2, "here",
    ]  # fmt: skip


def test_what_no_other_try_would_mend_ends_the_run(tmp_path: Path) -> None:
    def fails(_: list[Any]) -> Any:
        raise Failed("ray::describe()\nOSError: No space left on device")

    tasks = [task(tmp_path / "0", b"x")]
    with pytest.raises(UserError, match="cannot describe pictures: OSError: No space left on device"):
        described(nodes(fails), tasks)
    with pytest.raises(UserError, match="need the versions of this machine, but n1 has numpy 1, not 2"):
        described(nodes(lambda _: "n1 has numpy 1, not 2"), tasks)
