"""Run a function over items in worker processes, so that a crash, a hang or a hunger for memory costs one item.

The standard library's pools and joblib's end as a whole when a worker dies, and know no limit for one item; so this is
a small pool of its own. Items travel in chunks. When a chunk fails, each of its items is run once more, in a fresh
process, with nothing beside it: only that run gives a verdict, so that no verdict depends on the number of workers or
on what a worker did before.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import signal
import sys
import threading
import traceback
import warnings
from multiprocessing import connection, forkserver, get_context, resource_tracker, spawn
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stages.clean.decode import Refused
from stages.core import children
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from multiprocessing.connection import Connection

T = TypeVar("T")
R = TypeVar("R")
_CHUNK = 16  # items: a message costs as much as a small JPEG
_AHEAD = 8  # chunks for each worker that may wait for one that takes long
_WALL = 10  # seconds on the clock for each second of computing: for what waits without computing
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_FORK = get_context("forkserver")  # on Linux and macOS; forks a process that has the imports and no threads
_STARTING = threading.Lock()  # what a process starts with is the environment and a function of the standard library


class _Limits(NamedTuple):
    seconds: float
    gigabytes: float


class _Hungry(NamedTuple):
    """Memory ran out, or may have.

    machine: it would not have given all that one item may have; the item itself asks for too much otherwise.
    """

    machine: bool


class _Worker:
    def __init__(self, function: Callable[[Any], Any], limits: _Limits) -> None:
        _start_server(function)
        self.pipe, theirs = _FORK.Pipe()
        self.process = _FORK.Process(target=_serve, args=(function, limits, theirs), daemon=True)
        with _STARTING, _without_the_script():
            self.process.start()
        theirs.close()
        self.chunk = -1  # its number

    def ask(self, chunk: int, items: Sequence[Any]) -> None:
        """Send a chunk; that the worker died before, `answer` finds out."""
        self.chunk = chunk
        with contextlib.suppress(OSError):
            self.pipe.send(items)

    def answer(self) -> list[Any] | None:
        """The results of the chunk; None where the worker died over it. Raises what is a fault of ours."""
        try:
            found = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(found, BaseException):
            raise found
        return list(found)

    def end(self) -> int:
        """End it, whatever it does; returns its exit code."""
        self.pipe.close()
        if self.chunk >= 0:
            self.process.join(0.2)  # a process that died may take a moment to be seen dead
            self.process.kill()
        self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        return code


def each(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    seconds: float,
    gigabytes: float,
    kept: list[_Worker] | None = None,
) -> Generator[R | Refused, None, None]:
    """Apply `function` to every item, in worker processes; yields results in the order of the items.

    A `Refused` that `function` raises is that item's result. Any other exception is a fault of ours and is raised here.

    Args:
        function: at the top level of a module that is not the script; what it takes and returns must be picklable, and
            should be small.
        items: what it is called with; read as far ahead as the workers need.
        workers: how many processes.
        seconds: of computing for one item, and ten times as many on the clock.
        gigabytes: of memory for one item, beyond what a worker needs to start. Linux holds a process to it; macOS does
            not.
        kept: workers of an earlier call with the same function and limits, to use and to leave here for the next; one
            call at a time. Without it, all end with the call. They end with this process at the latest.

    Raises:
        UserError: the machine has less memory than one item may need and needs.
    """
    limits, source = _Limits(seconds, gigabytes), iter(items)
    chunks: dict[int, list[T]] = {}  # those that are not done
    done: dict[int, list[Any]] = {}
    idle = [] if kept is None else kept
    busy: dict[Connection, _Worker] = {}
    failed: list[int] = []
    turn = begun = 0
    try:
        while True:
            room = begun < turn + _AHEAD * workers and not failed
            while room and len(busy) < workers and (chunk := list(itertools.islice(source, _CHUNK))):
                worker = idle.pop() if idle else _Worker(function, limits)
                busy[worker.pipe] = worker
                chunks[begun] = chunk
                worker.ask(begun, chunk)
                begun += 1
            if turn == begun:
                return
            ready = connection.wait(list(busy))
            for pipe in [one for one in busy if one in ready]:
                answer = busy[pipe].answer()  # what it raises ends all that are busy
                worker = busy.pop(pipe)
                if answer is None or any(isinstance(one, _Hungry) for one in answer):
                    failed.append(worker.chunk)
                    worker.end()
                    continue
                done[worker.chunk] = answer
                del chunks[worker.chunk]
                worker.chunk = -1
                idle.append(worker)
            if not busy:
                for number in failed:
                    done[number] = [_alone(function, item, limits) for item in chunks.pop(number)]
                failed.clear()
            while turn in done:
                yield from done.pop(turn)
                turn += 1
    finally:
        for worker in itertools.chain([] if kept is not None else idle, busy.values()):
            worker.end()


def _alone(function: Callable[[Any], Any], item: Any, limits: _Limits) -> Any:
    """The result of one item in a process of its own, while no other works."""
    for _ in range(2):
        worker = _Worker(function, limits)
        try:
            worker.ask(0, [item])
            answer = worker.answer()
        finally:
            code = worker.end()
        if answer is not None or code != -signal.SIGKILL:
            break  # else the system ended it, for want of memory; the others are idle now
    if answer is not None and not isinstance(answer[0], _Hungry):
        return answer[0]
    if code == -signal.SIGKILL or (answer is not None and answer[0].machine):
        raise UserError(
            f"this machine has not enough memory to read every picture: one may need clean.gigabytes = "
            f"{limits.gigabytes:g}; free memory, or lower clean.workers, clean.gigabytes or clean.max_pixels"
        )
    if answer is not None:
        return Refused("unreadable", f"needs more than {limits.gigabytes:g} GB of memory (clean.gigabytes)")
    if code in (-signal.SIGPROF, -signal.SIGALRM):
        return Refused("unreadable", f"took longer than {limits.seconds:g} s (clean.seconds)")
    return Refused("unreadable", f"crashed the decoder ({_name(code)})")


def _name(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _start_server(function: Callable[..., Any]) -> None:
    """Start the process that workers are forked from, once; it imports what they need, for one thread each.

    It finds modules where this process does, and nothing in the working folder beside. Ctrl-C reaches every process of
    a terminal; the server and its workers inherit that SIGINT is blocked, so that this process alone acts on it.
    """
    inner = getattr(function, "func", function)  # of a partial
    needed = [inner, *(type(value) for value in getattr(function, "keywords", {}).values())]
    places = [os.path.abspath(place) for place in sys.path]  # noqa: PTH100 - "" is the working folder
    given = dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(places)}
    with _STARTING:
        children.short_sockets()
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        resource_tracker.ensure_running()  # the server starts it otherwise, and that would unblock SIGINT again
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            _FORK.set_forkserver_preload([__name__, *dict.fromkeys(one.__module__ for one in needed)])
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@contextlib.contextmanager
def _without_the_script() -> Iterator[None]:
    """Start processes that do not run the script of this one again; no function of ours stands in it."""
    original = spawn.get_preparation_data

    def prepared(name: str) -> dict[str, Any]:
        found: dict[str, Any] = original(name)
        return {key: value for key, value in found.items() if not key.startswith("init_main")}

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = original


def _serve(function: Callable[[Any], Any], limits: _Limits, pipe: Connection) -> None:
    """What a worker does: chunks in, results out, until the other end is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    room = int(limits.gigabytes * 2**30)
    little, less = not _to_be_had(room), not _to_be_had(room // 4)
    if not little:
        _limit_memory(room)
    with contextlib.suppress(EOFError, OSError):
        while True:
            chunk = pipe.recv()
            pipe.send(_results(function, chunk, limits, little=little, less=less))


def _results(
    function: Callable[[Any], Any], chunk: Sequence[Any], limits: _Limits, *, little: bool, less: bool
) -> list[Any] | Exception:
    """The results of a chunk, or the first exception that is a fault of ours, to be raised in the parent.

    Args:
        function: what is applied.
        chunk: the items.
        limits: of time; that of memory is set.
        little: the machine cannot give all the memory that an item may have.
        less: nor a quarter of it; then a codec may call a file broken that it got no memory for.
    """
    results: list[Any] = []
    for item in chunk:
        signal.setitimer(signal.ITIMER_PROF, limits.seconds)  # the system ends the process, whatever codec it is in
        signal.setitimer(signal.ITIMER_REAL, limits.seconds * _WALL)
        try:
            results.append(function(item))
        except Refused as refused:
            results.append(_Hungry(machine=True) if less and refused.reason == "unreadable" else refused)
        except MemoryError:
            results.append(_Hungry(machine=little))
        except Exception as error:  # noqa: BLE001 - raised again in the parent
            error.add_note("".join(traceback.format_exception(error)))
            return error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    return results


def _to_be_had(room: int) -> bool:
    """Whether the machine would give so much memory; asks, and touches none of it."""
    try:
        mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True


def _limit_memory(room: int) -> None:
    """Hold this process to the memory that it has, and so much more; macOS has no such limit."""
    if sys.platform == "linux":
        import resource
        from pathlib import Path

        data = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * mmap.PAGESIZE
        most = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = data + room
        resource.setrlimit(resource.RLIMIT_DATA, (limit if most < 0 else min(limit, most), most))
