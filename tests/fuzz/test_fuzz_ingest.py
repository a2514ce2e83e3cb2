"""Damaged and made-up archives, address lists and names: no crash, no hang, a row for everything, nothing lost unsaid.

Ten minutes instead of a minute: `EVENHAND_FUZZ=10 python -m pytest -m slow tests/fuzz`. The seeds are fixed.
"""

import csv
import io
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from stages.core import files
from stages.core.addresses import without_secrets
from stages.core.errors import UserError
from stages.core.labels import tidy
from stages.ingest import urls
from stages.ingest.entry import Names, printable
from tests.ingest.test_archives import NAMES, PACK, content, tar, zipped
from tests.ingest.test_ingest import bring

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("EVENHAND_FUZZ", "1"))
SECONDS = 5.0  # for one input; they are small
LISTS = settings(
    max_examples=250 * TIMES,
    deadline=SECONDS * 1000,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    monkeypatch.undo()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Cut, flipped, overwritten, doubled or shuffled, once to four times."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, length = rng.randrange(len(changed)), rng.choice((1, 4, 20, 512))
        match rng.randrange(6):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + length] = rng.randbytes(length)
            case 2:
                changed[at : at + length] = b""
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                changed[at : at + length] = rng.choice((b"\0", b"\xff", b"7")) * length
            case _:
                del changed[max(1, at) :]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


@pytest.mark.parametrize("kind", [*PACK, "stored.zip", "deflated.zip", "bzip2.zip", "lzma.zip"])
def test_mutated_archives(tmp_path: Path, kind: str) -> None:
    """1,000 of them: refused in words, or a row for every member and the right bytes in what is kept."""
    import zipfile

    methods = {"stored": 0, "deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
    whole = PACK[kind](tar()) if kind in PACK else zipped(method=methods[kind.split(".", maxsplit=1)[0]])
    rng = random.Random(kind)  # noqa: S311
    expected = {content(name) for name in NAMES}
    for number in range(125 * TIMES):
        data = mutated(whole, rng)
        (tmp_path / "a").write_bytes(data)
        began = time.monotonic()
        try:
            rows = list(bring("archive", tmp_path / "a").values())
        except UserError as error:
            assert len(str(error)) < 600, number  # noqa: PT017
            continue
        finally:
            assert time.monotonic() - began < SECONDS, number
        rows = files.read_rows("data/raw/manifest.csv")
        assert len(rows) >= len(NAMES), f"{number}: a member is gone without a word"
        kept = [Path("data/raw") / row["file"] for row in rows if row["file"]]
        assert len(set(kept)) == len(kept), number
        assert set(kept) == {path for path in Path("data/raw/files").rglob("*") if path.is_file()}, number
        # Nothing covers the bytes of a member of a plain tar; everywhere else a checksum does.
        assert kind == "tar" or {path.read_bytes() for path in kept} <= expected, number


FIELDS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["http://u%5B@host/a", "http://[::1", "http://h:" + "9" * 5000, "ftp://h/a", "http://h/" + "a" * 200_000, "//",
         "http://u:p@h/a?token=s", "http://\udcff/", "http://h/%zz", "http://\u2024/", "http://a..b/",
         "HTTP://H/\r\n", "\0"],
    ),
)  # fmt: skip


@seed(0)
@settings(LISTS)
@given(
    st.lists(st.tuples(FIELDS, FIELDS, FIELDS), max_size=8),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)
def test_address_lists_as_csv(rows: list[tuple[str, str, str]], encoding: str) -> None:
    """Every row that a CSV writer wrote comes back as a row, and none reaches the network."""
    text = io.StringIO()
    csv.writer(text).writerows([urls.COLUMNS, *rows])
    check_list(text.getvalue().encode(encoding, "replace"), len(rows) if encoding.startswith("utf-8") else None)


@seed(1)
@settings(LISTS)
@given(st.binary(max_size=400), st.booleans())
def test_address_lists_of_any_bytes(body: bytes, headed: bool) -> None:
    check_list((b"url,label,sha256\n" if headed else b"") + body, None)


def check_list(data: bytes, number: int | None) -> None:
    Path("list.csv").write_bytes(data)
    try:
        rows = urls.read_list(Path("list.csv"))
    except UserError as error:
        assert number in {0, None}, error  # noqa: PT017
        return
    assert number is None or len(rows) == number
    # Addresses that could be asked for are made unreachable: what is tried here is the reading.
    Path("list.csv").write_text("url,label,sha256\n", encoding="utf-8")
    with Path("list.csv").open("a", encoding="utf-8", newline="", errors="replace") as file:
        csv.writer(file).writerows(
            (row["url"].replace("h", "").replace("H", ""), row["label"], row["sha256"]) for row in rows
        )
    with pytest.raises(UserError, match=r"the first reason: (not_http|not_a_sha256)"):
        bring("urls", Path("list.csv"), retries=0, timeout_seconds=1.0)
    for row in rows:
        assert "\n" not in printable(without_secrets(row["url"])) or "\n" in row["url"]


PARTS = (
    st.one_of(
        st.binary(min_size=1, max_size=60).map(os.fsdecode),
        st.sampled_from(
            [".git", ".DVC", "a.dvc", "dvc.yaml", "Icon\r", "\\udcff", "x~2", "x", "x" * 255, "\xe9", "e\u0301"]
        ),
    )
    .map(lambda name: "".join(c for c in name if c not in "/\0") or "_")
    .filter(lambda name: name not in {".", ".."})
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@seed(2)
@settings(LISTS)
@given(st.sets(PATHS, max_size=12))
def test_names_of_a_folder(paths: set[str]) -> None:
    """Whatever names a folder holds: a row for each file, each kept under a name of its own with its own bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source, written = Path(folder) / "s", {}
        for number, path in enumerate(sorted(paths)):
            try:
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                with (source / path).open("xb") as file:
                    file.write(b"%d" % number)
            except OSError:
                continue
            written[path] = b"%d" % number
        if not written:
            return
        if not any(tidy(path.rpartition("/")[0].rpartition("/")[2]) for path in written):
            with pytest.raises(UserError, match="has a label by"):
                bring("folder", source, hidden=True)
            return
        bring("folder", source, hidden=True)
    rows = [row for row in files.read_rows("data/raw/manifest.csv") if row["problem"] != "folder"]
    assert len(rows) == len(written)
    assert {row["problem"] for row in rows} == {""}
    assert sorted((Path("data/raw") / row["file"]).read_bytes() for row in rows) == sorted(written.values())


@seed(3)
@settings(LISTS)
@given(st.sets(PATHS, max_size=40))
def test_names_never_meet(paths: set[str]) -> None:
    names = Names()
    whole = {names(path) for path in paths}
    assert len(whole) == len(paths)
    assert all(name.encode() and max(len(part.encode()) for part in name.split("/")) <= 255 for name in whole)


def test_two_zips_in_one_file_are_refused(tmp_path: Path) -> None:
    """The second lists its own members alone, so those of the first would be gone without a word."""
    (tmp_path / "a").write_bytes(zipped(method=0) + zipped(method=0))
    with pytest.raises(UserError, match="another zip stands before it"):
        bring("archive", tmp_path / "a")
    (tmp_path / "a").write_bytes(b"#!/bin/sh\nexit\n" + zipped(method=0))  # one that unpacks itself
    assert len(bring("archive", tmp_path / "a")) == len(NAMES)
