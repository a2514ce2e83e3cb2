"""A crash, a hang or a bomb costs one item and says which it was; everything else comes back, in order."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest

from stages.clean import isolate, pictures
from stages.clean.decode import Refused
from stages.clean.params import Clean
from stages.core.errors import UserError

from . import jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit a process's memory")


def results(items: Sequence[Any], workers: int = 2, **limits: float) -> list[Any]:
    given = {"seconds": 5.0, "gigabytes": 1.0} | limits
    return list(isolate.each(jobs.work, items, workers=workers, kept=None, **given))


def said(answer: object) -> str:
    assert isinstance(answer, Refused), answer
    return str(answer)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 200])
def test_results_come_in_order(count: int, workers: int) -> None:
    assert results(range(count), workers) == [k * k for k in range(count)]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("crash", "crashed the decoder (SIGSEGV)"),
        ("exit", "crashed the decoder (exit code 3)"),
        ("loop", "took longer than 0.3 s (clean.seconds)"),
        pytest.param("sleep", "took longer than 0.3 s (clean.seconds)", marks=pytest.mark.slow),  # by the clock
        pytest.param("eat 900", "needs more than 0.25 GB of memory (clean.gigabytes)", marks=LINUX),
        ("refuse it is torn", "it is torn"),
    ],
)
def test_a_bad_item_costs_itself_alone(item: str, words: str) -> None:
    items: list[Any] = [*range(20), item, *range(20, 60)]
    found = results(items, seconds=0.3, gigabytes=0.25)
    assert said(found[20]) == f"unreadable: {words}"
    assert found[:20] + found[21:] == [k * k for k in range(60)]


def test_the_number_of_workers_changes_no_verdict() -> None:
    items: list[Any] = [k if k % 7 else ("crash", "refuse x", "exit")[k % 3] for k in range(60)]
    one, many = ([str(r) for r in results(items, workers)] for workers in (1, 4))
    assert one == many


def test_what_fits_the_limit_passes_again_and_again() -> None:
    """The limit is for one item, not for what a worker does in its life."""
    assert results(["eat 150"] * 10, gigabytes=0.25) == [150 << 20] * 10


def test_a_process_that_the_system_ends_is_tried_again_alone(tmp_path: Path) -> None:
    # the first kill fells the chunk; the item alone is killed too, once
    flag = tmp_path / "flag"
    assert results([1, f"killed-once {flag}", 2]) == [1, "survived", 4]
    with pytest.raises(UserError, match="not enough memory"):
        results([1, "killed", 2])


@LINUX
def test_a_machine_without_memory_gives_no_verdict() -> None:
    """Under a limit of the caller's, good and broken files are no verdicts but an error that names the way out."""
    code = (
        "import resource; from tests.clean import jobs; from stages.clean import isolate\n"
        "from stages.core import errors\n"
        "def main():\n"
        "    most = 900 << 20\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "    print(list(isolate.each(jobs.work, ['eat 700'], workers=1, seconds=9, gigabytes=4)))\n"
        "if __name__ == '__main__': errors.run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "not enough memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_of_ours_is_raised_with_its_place() -> None:
    with pytest.raises(ValueError, match="ours") as caught:
        results([1, "bug ours", 2])
    assert "jobs.py" in "".join(getattr(caught.value, "__notes__", []))
    with pytest.raises(FileNotFoundError):
        results(["missing /nowhere"])


def test_a_consumer_that_stops_leaves_no_process() -> None:
    before = _workers()
    answers = isolate.each(jobs.work, ["pid"] * 100, workers=2, seconds=5, gigabytes=1)
    next(answers)
    assert len(_workers() - before) == 2
    answers.close()
    assert _workers() <= before


@pytest.mark.parametrize(  # s: the server starts, imports, forks; workers work
    "pause", [0.1, 0.3, *(pytest.param(pause, marks=pytest.mark.slow) for pause in (0.05, 0.2, 1.0))]
)
def test_ctrl_c_ends_everything(tmp_path: Path, pause: float) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import signal\n"
        "from tests.clean import jobs; from stages.clean import isolate; from stages.core import errors\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background\n"
        "def main():\n"
        "    print('on', flush=True)\n"
        "    list(isolate.each(jobs.work, ['loop', 'loop'], workers=2, seconds=60, gigabytes=1))\n"
        "if __name__ == '__main__': errors.run(main)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(pause)
    family = _family(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    _until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))


@pytest.mark.slow
def test_a_parent_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "from tests.clean import jobs; from stages.clean import isolate\n"
        "if __name__ == '__main__':\n"
        "    list(isolate.each(jobs.work, ['loop', 'loop'], workers=2, seconds=2, gigabytes=1))\n"
    )
    env = os.environ | {"PYTHONPATH": os.getcwd()}  # noqa: PTH109
    process = subprocess.Popen([sys.executable, str(script)], env=env)
    _until(lambda: len(_family(process.pid)) >= 3)
    family = _family(process.pid)
    process.kill()
    process.wait()
    _until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))


@LINUX
def test_workers_compute_with_one_thread() -> None:
    code = (
        "from tests.clean import jobs; from stages.clean import isolate\n"
        "if __name__ == '__main__': "
        "print(list(isolate.each(jobs.threads, [1], workers=1, seconds=9, gigabytes=4)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[1]\n"


SCRIPT = """
import sys
from stages.clean import isolate
from tests.clean import jobs
print(list(isolate.each(jobs.work, [1, 2, "where stages.clean.isolate"], workers=2, seconds=9, gigabytes=4)))
"""


@pytest.mark.parametrize("place", ["elsewhere", "beside other code"])
def test_a_plain_script_without_a_guard_runs_once_and_with_its_own_code(tmp_path: Path, place: str) -> None:
    """The second working folder has a package of the same name, which is not on the script's path."""
    script, here = tmp_path / "script/run.py", tmp_path / "here"
    for folder in (script.parent, here / "stages"):
        folder.mkdir(parents=True)
    script.write_text(SCRIPT)
    if place == "beside other code":
        (here / "stages/__init__.py").write_text("")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(script)], cwd=here, env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == f"[1, 4, {str(root / 'stages/clean/isolate.py')!r}]\n", done.stderr


def test_calls_side_by_side_leave_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    for _ in range(20):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: isolate._start_server(jobs.work), range(32)))
        assert dict(os.environ) == before


def test_a_temporary_folder_may_have_a_long_path(tmp_path: Path) -> None:
    """As on some clusters: the name of a socket in it would be too long."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    code = (
        "from tests.clean import jobs; from stages.clean import isolate\n"
        "if __name__ == '__main__': "
        "print(list(isolate.each(jobs.work, [3], workers=1, seconds=9, gigabytes=4)))"
    )
    env = os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[9]\n", done.stderr


def test_what_a_partial_needs_is_imported_once_for_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(isolate._FORK, "set_forkserver_preload", asked.extend)
    isolate._start_server(functools.partial(pictures._one, clean=Clean()))
    assert {"stages.clean.pictures", "stages.clean.params"} <= set(asked)


def test_kept_workers_serve_the_next_call_and_one_that_died_is_replaced() -> None:
    kept: list[Any] = []

    def call(*items: str | int) -> list[Any]:
        return list(isolate.each(jobs.work, items, workers=2, seconds=5, gigabytes=1, kept=kept))

    (first,) = call("pid")
    assert [call("pid"), call("pid")] == [[first], [first]]
    os.kill(first, signal.SIGKILL)
    assert call(3, 4) == [9, 16]
    assert said(call("crash")[0]) == "unreadable: crashed the decoder (SIGSEGV)"
    with pytest.raises(ValueError, match="ours"):
        call("bug ours")
    assert call(5) == [25]
    (second,) = call("pid")
    assert call("pid") == [second] != [first]
    for worker in kept:
        worker.end()


def _workers() -> set[int]:
    """Processes below this one, other than the server and the tracker, which live as long as this one."""
    children = psutil.Process().children()
    return {p.pid for child in children for p in child.children() if p.status() != psutil.STATUS_ZOMBIE}


def _family(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _until(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
