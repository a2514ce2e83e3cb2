"""Arrays in `.cache`: whole or absent, on full disks and after kills; read from the disk in long stretches."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.core.errors import UserError
from stages.train import pixels, store
from stages.train.sections import Resize


class Stop(BaseException):
    """As abrupt as a kill, within one process."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the bytes that a process reads")
def test_fetching_reads_the_stretches_asked_for_and_nothing_else(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4000, 4096), np.uint8))
    stored = np.load(tmp_path / "a.npy", mmap_mode="r")

    def read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    for rows, least in ((np.arange(100, 300), 200), (np.array([3999, 4, 0, 2]), 6), (np.arange(0), 0)):
        before = read()
        store.fetch(stored, rows)
        assert least * 4096 <= read() - before < least * 4096 + 4096, "with the text of /proc itself"


def test_decoding_goes_on_behind_what_a_killed_process_has_filled(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted((study / "data/clean/images").iterdir())
    expected = pixels.load(paths, 8, Resize()).copy()
    shutil.rmtree(".cache/pixels")
    monkeypatch.setattr(store, "_ROWS", 10)
    decoded: list[str] = []
    whole, killed = Image.open, 25

    def opened(path: Path) -> Any:
        decoded.append(path.name)
        if len(decoded) == killed:
            raise Stop
        return whole(path)

    monkeypatch.setattr(Image, "open", opened)
    with pytest.raises(Stop):
        pixels.load(paths, 8, Resize())
    assert not list(Path(".cache/pixels").glob("[!.]*.npy")), "half an array is none"
    decoded.clear()
    killed = 0
    assert np.array_equal(pixels.load(paths, 8, Resize()), expected)
    assert sorted(decoded) == sorted(path.name for path in paths[20:])
    assert {path.suffix for path in Path(".cache/pixels").iterdir()} == {".npy", ".sha256", ".lock"}


@pytest.mark.parametrize("left", [0, 100, 3000])
def test_rows_of_an_array_that_was_cut_short_do_not_count(
    study: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """A power loss can leave fewer bytes than the mark says; the whole array has 128 of header and 9,216 of pixels."""
    paths = sorted((study / "data/clean/images").iterdir())
    expected = pixels.load(paths, 8, Resize()).copy()
    shutil.rmtree(".cache/pixels")
    monkeypatch.setattr(store, "_ROWS", 10)
    whole = Image.open

    def opened(path: Path) -> Any:
        if path == paths[25]:
            raise Stop
        return whole(path)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", opened)
        with pytest.raises(Stop):
            pixels.load(paths, 8, Resize())
    (partial,) = Path(".cache/pixels").glob(".partial-*.npy")
    assert partial.with_suffix(".rows").read_text() == "20"
    assert partial.stat().st_size == 128 + 9216
    os.truncate(partial, left)
    assert np.array_equal(pixels.load(paths, 8, Resize()), expected)


def test_rows_of_an_array_that_is_gone_do_not_count(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error behind the first block, then a kill within it: the third run has to decode the first block too."""
    paths = sorted((study / "data/clean/images").iterdir())
    expected = pixels.load(paths, 8, Resize()).copy()
    shutil.rmtree(".cache/pixels")
    monkeypatch.setattr(store, "_ROWS", 10)
    whole = Image.open
    fails: dict[Path, BaseException] = {paths[15]: OSError("cannot be read now")}

    def opened(path: Path) -> Any:
        if path in fails:
            raise fails[path]
        return whole(path)

    monkeypatch.setattr(Image, "open", opened)
    with pytest.raises(UserError, match="cannot be decoded"):
        pixels.load(paths, 8, Resize())
    fails = {paths[5]: Stop()}
    with pytest.raises(Stop):
        pixels.load(paths, 8, Resize())
    fails = {}
    assert np.array_equal(pixels.load(paths, 8, Resize()), expected)


def test_an_array_that_cannot_be_made_leaves_nothing(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted((study / "data/clean/images").iterdir())
    paths[30].write_bytes(b"no picture")
    monkeypatch.setattr(store, "_ROWS", 10)
    with pytest.raises(UserError, match="cannot be decoded"):
        pixels.load(paths, 8, Resize())
    assert not list(Path(".cache/pixels").glob("**/*.npy"))


def test_a_disk_that_is_too_small_is_told_with_the_bytes(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted((study / "data/clean/images").iterdir())
    free = shutil.disk_usage(study)._replace(free=9000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: free)
        with pytest.raises(
            UserError, match=r"\.cache/pixels needs 9,216 bytes for one array, and its disk has 9,000; "
        ):
            pixels.load(paths, 8, Resize())  # 48 x 8 x 8 x 3

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)  # a quota, or another process was quicker
    with pytest.raises(OSError, match=r"No space left on device: '.*/\.cache/pixels/\w+\.npy'"):
        pixels.load(paths, 8, Resize())
    assert not list(Path(".cache/pixels").glob("**/*.npy"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve bytes of a file")
def test_the_bytes_of_an_array_are_reserved(tmp_path: Path) -> None:
    made = store.create(tmp_path / "a.npy", np.uint8, (1000, 4096))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= made.nbytes
    assert not made.any()
