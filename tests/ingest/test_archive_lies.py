"""Zips and tars whose figures, comments or names lie: the right pictures, or a reason."""

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from stages.core.errors import UserError
from tests.ingest.test_archives import NAMES, content, zipped
from tests.ingest.test_ingest import bring


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def listed(method: str, value: int, names: tuple[str, ...] = ("a/1.png", "b/2.png")) -> bytes:
    """A zip64 of stored members in which one figure is `value`: size, packed, both, offset, count or nothing."""
    body, directory = b"", b""
    for name in names:
        data = content(name)
        facts = {"size": len(data), "packed": len(data), "offset": len(body)}
        facts |= {key: value for key in facts if key == method or (method == "both" and key != "offset")}
        crc = zlib.crc32(data)
        body += struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 33, crc, len(data), len(data), len(name), 0)
        body += name.encode() + data
        extra = struct.pack("<2H3Q", 1, 24, *facts.values())
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 33, crc, *[2**32 - 1] * 2, len(name),
                                 len(extra), 0, 0, 0, 0, 2**32 - 1) + name.encode() + extra  # fmt: skip
    count = value if method == "count" else len(names)
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), len(body))
    end += struct.pack("<4sIQI", b"PK\6\7", 0, len(body) + len(directory), 1)
    return body + directory + end + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *[2**16 - 1] * 2, *[2**32 - 1] * 2, 0)


def kept(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    (tmp_path / "x").write_bytes(data)
    found = bring("archive", tmp_path / "x")
    return {path: (Path("data/raw") / row["file"]).read_bytes() for path, row in found.items() if row["file"]}


@pytest.mark.parametrize("comment", ["empty end", "text about it", "its own end", "a whole zip", "two letters"])
def test_a_comment_of_a_zip_hides_no_picture(tmp_path: Path, comment: str) -> None:
    ends = {
        "empty end": b"PK\5\6" + bytes(18),
        "text about it": b"see PK\5\6" + bytes(18) + b", which ends it",
        "its own end": zipped()[-22:],
        "a whole zip": zipped() + b"bye",
        "two letters": b"PK\5\6",
    }
    stream = io.BytesIO(zipped())
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = ends[comment]
    plain = kept(tmp_path, zipped())
    assert len(plain) == len(NAMES)
    assert kept(tmp_path, stream.getvalue()) == plain
    assert kept(tmp_path, b"#!/bin/sh\n" + zipped()) == kept(tmp_path, zipped() + b"\r\nsent by mail") == plain


@pytest.mark.parametrize("method", ["size", "packed", "both", "offset"])
@pytest.mark.parametrize("value", [0, 2**40, 2**64 - 1])
def test_sizes_of_a_zip64_that_cannot_be_are_damage(tmp_path: Path, method: str, value: int) -> None:
    """An offset of 0 is right for the first member."""
    assert len(kept(tmp_path, listed("nothing", 0))) == 2
    (tmp_path / "x").write_bytes(listed(method, value))
    problems = {path: row["problem"] for path, row in bring("archive", tmp_path / "x").items()}
    right = {"a/1.png"} if (method, value) == ("offset", 0) else set()
    assert problems == {path: "" if path in right else "damaged" for path in ("a/1.png", "b/2.png")}


@pytest.mark.parametrize("count", [0, 1, 3, 2**63])
def test_a_zip64_that_counts_wrong_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError, match=f"lists 2 members, its end says {count}"):
        kept(tmp_path, listed("count", count))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/ü.png".encode(), "a/ü.png"),
        ("a/ü.png".encode("latin-1"), "a/\\udcfc.png"),
        (b"a/x\0y.png", ""),
        ("a/ü.png".encode("utf-16"), ""),
    ],
)
def test_names_of_a_pax_header_in_any_encoding(tmp_path: Path, name: bytes, path: str) -> None:
    """A name that is no UTF-8 is escaped; one with a zero byte has its reason, and the rest goes on."""
    record = b"path=" + name + b"\n"
    length = next(n for n in range(1, 99) if n == len(str(n)) + 1 + len(record))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for kind, title, data in (
            (tarfile.XHDTYPE, "header", b"%d %s" % (length, record)),
            (tarfile.REGTYPE, "a/short.png", b"first"),
            (tarfile.REGTYPE, "b/2.png", b"second"),
        ):
            info = tarfile.TarInfo(title)
            info.type, info.size = kind, len(data)
            archive.addfile(info, io.BytesIO(data))
    found = kept(tmp_path, stream.getvalue())
    assert found == {"b/2.png": b"second"} | ({path: b"first"} if path else {})
    problems = [row["problem"] for row in bring("archive", tmp_path / "x").values()]
    assert sorted(filter(None, problems)) == ([] if path else ["forbidden_path"])


@pytest.mark.parametrize("kind", ["GNU", "PAX"])
def test_the_map_of_a_sparse_file_has_an_end(tmp_path: Path, kind: str) -> None:
    """It is packed to a thousandth and takes a hundred times its room when it is read."""
    block = b"00000000001\0" * 42 + b"\1" + bytes(7)
    info = tarfile.TarInfo("a/1.png")
    if kind == "GNU":
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        header[156:157], header[482:483], header[483:495] = tarfile.GNUTYPE_SPARSE, b"\1", b"00000000010\0"
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        data = bytes(header) + block * 600 + bytes(512)
    else:
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}
        map_ = b"100000\n" + b"0\n" * 200_000
        info.size = len(map_)
        data = info.tobuf(tarfile.PAX_FORMAT) + map_ + bytes(-len(map_) % 512)
    with pytest.raises(UserError, match="a sparse file whose map has more than 262144 bytes"):
        kept(tmp_path, data + bytes(1024))


def test_a_chain_of_names_is_damage(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    with pytest.raises(UserError, match="recursion"):
        kept(tmp_path, (info.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 1000)
