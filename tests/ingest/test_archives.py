"""Archives that are cut, flipped, odd or hostile: all of it, a reason for each member, or a word that it is damaged."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core import files
from stages.core.errors import UserError
from tests.ingest.test_ingest import bring

NAMES = [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(6)]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def content(name: str) -> bytes:
    return random.Random(name).randbytes(700)  # noqa: S311


def tar(names: list[str] = NAMES) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 700
            archive.addfile(info, io.BytesIO(content(name)))
    return buffer.getvalue()


def zipped(names: list[str] = NAMES, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names:
            archive.writestr(name, content(name))
    return buffer.getvalue()


def outcome(data: bytes, path: Path) -> str:
    """`whole`, `told` (a reason for every member that is not whole) or `refused` (in words); fails on a silent loss."""
    path.write_bytes(data)
    try:
        rows = bring("archive", path)
    except UserError as error:
        assert len(str(error)) < 500  # noqa: PT017
        return "refused"
    kept = {name for name, row in rows.items() if row["file"]}
    assert len(files.read_rows("data/raw/manifest.csv")) >= len(NAMES), "a member is gone without a word"
    assert all((Path("data/raw/files") / name).read_bytes() == content(name) for name in kept & set(NAMES))
    return "whole" if kept == set(NAMES) else "told"


@pytest.mark.parametrize("kind", PACK)
def test_a_cut_tar_is_never_taken_for_a_whole_one(tmp_path: Path, kind: str) -> None:
    whole = PACK[kind](tar())
    assert outcome(whole, tmp_path / "a") == "whole"
    end = len(tar().rstrip(b"\0")) if kind == "tar" else len(whole)
    last = (-(-end // 512) + 2) * 512 if kind == "tar" else len(whole)  # behind the end mark there is padding alone
    cuts = {*range(512, last, 512), *(random.Random(0).randrange(1, last) for _ in range(40)), last - 1}  # noqa: S311
    assert {outcome(whole[:cut], tmp_path / "a") for cut in cuts} == {"refused"}


def test_a_flipped_bit_in_a_packed_tar_is_noticed(tmp_path: Path) -> None:
    whole = PACK["tar.gz"](tar())
    rng = random.Random(1)  # noqa: S311
    header = 10  # of gzip: time, flags and system, which no checksum covers
    found = []
    for _ in range(80):
        data = bytearray(whole)
        data[rng.randrange(header, len(data))] ^= 1 << rng.randrange(8)
        found.append(outcome(bytes(data), tmp_path / "a"))
    assert set(found) == {"refused"}


def test_a_flipped_bit_in_a_header_of_a_tar_is_noticed(tmp_path: Path) -> None:
    data = bytearray(tar())
    data[2 * (512 + 1024) + 3] ^= 4
    assert outcome(bytes(data), tmp_path / "a") == "refused"


def test_more_behind_the_end_is_told(tmp_path: Path) -> None:
    assert outcome(tar() + tar(["cow/1.png"]), tmp_path / "a") == "refused"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_ends_nothing_else(tmp_path: Path, method: int) -> None:
    data = bytearray(zipped(method=method))
    at = data.find(b"cat/3.png") + 300
    data[at : at + 20] = bytes(20)
    (tmp_path / "a.zip").write_bytes(data)
    rows = bring("archive", tmp_path / "a.zip")
    assert {name: row["problem"] for name, row in rows.items()} == dict.fromkeys(NAMES, "") | {"cat/3.png": "damaged"}
    assert not Path("data/raw/files/cat/3.png").exists()


def test_a_cut_zip_and_a_short_directory_are_refused(tmp_path: Path) -> None:
    whole = zipped()
    assert {outcome(whole[:cut], tmp_path / "a") for cut in range(30, len(whole), 997)} == {"refused"}
    end = whole.rfind(b"PK\x05\x06")
    fewer = bytearray(whole)
    size = int.from_bytes(whole[end + 12 : end + 16], "little")
    entry = 46 + len(NAMES[0])
    fewer[end + 12 : end + 16] = (size - entry).to_bytes(4, "little")
    fewer[end + 16 : end + 20] = (int.from_bytes(whole[end + 16 : end + 20], "little")).to_bytes(4, "little")
    assert outcome(bytes(fewer), tmp_path / "a") == "refused"


def test_odd_members_get_a_reason_each(tmp_path: Path) -> None:
    odd = {
        "x" * 300 + "/1.png": "name_too_long", "cat/" + "\u65e5" * 100 + ".png": "name_too_long",
        "d/" * 600 + "1.png": "name_too_long", "q": "", "q/x.png": "file_and_folder",
        "r/x.png": "", "r": "file_and_folder",
        "../up.png": "forbidden_path", "cat/method.png": "unsupported_compression", "cat/secret.png": "encrypted",
        "cat/strong.png": "encrypted", "cat/.hidden.png": "hidden", "./dog/1.png": "twice_in_archive",
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in [*NAMES, *odd]:
            archive.writestr(name, content(name))
        for info in archive.infolist():
            info.compress_type = 97 if "method" in info.filename else info.compress_type
            info.flag_bits |= 1 if "secret" in info.filename else 0x41 if "strong" in info.filename else 0
    bring("archive", tmp_path / "a.zip")
    rows = files.read_rows("data/raw/manifest.csv")
    assert len(rows) == len(NAMES) + len(odd)
    assert sorted(row["problem"] for row in rows) == sorted([*odd.values(), *[""] * len(NAMES)])
    assert all((Path("data/raw/files") / name).read_bytes() == content(name) for name in NAMES)


def test_a_giant_name_is_neither_read_nor_printed(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    path = tmp_path / "a.tgz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.write(b"x" * (1 << 24))
    began = time.monotonic()
    with pytest.raises(UserError, match="a name or header of 8589934592 bytes") as error:
        bring("archive", path)
    assert len(str(error.value)) < 300
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["sparse", "forbidden", "many"])
def test_bombs_are_stopped_by_the_limit(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tgz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        if kind == "sparse":
            info = tarfile.TarInfo("cat/1.png")
            info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
            header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
            header[386:410] = b"00000000000\0" + b"00000001000\0"
            header[483:495] = b"77777777777\0"  # 8 GB, says the map
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            file.write(bytes(header) + bytes(512))
        elif kind == "forbidden":
            info = tarfile.TarInfo("../1.png")
            info.size = 200 << 20
            file.write(info.tobuf())
            for _ in range(200):
                file.write(bytes(1 << 20))
        else:
            block = b"".join(tarfile.TarInfo(f"cat/{i}.png").tobuf() for i in range(15_000))
            file.write(block)
        file.write(bytes(1024))
    with pytest.raises(UserError, match=r"is over `ingest\.max_gigabytes`"):
        bring("archive", path, max_gigabytes=0.01)
    assert not Path("data/raw").exists()


def test_utf8_names_without_the_flag_keep_their_letters(tmp_path: Path) -> None:
    data = zipped(["cafX/1.png"]).replace(b"cafX", "caé".encode())
    (tmp_path / "a.zip").write_bytes(data)
    assert bring("archive", tmp_path / "a.zip")["caé/1.png"]["label"] == "caé"


def test_folders_of_a_zip_with_backslashes_cost_no_picture(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("set\\", "set\\cats\\", "set\\cats\\1.png", "set\\dogs\\", "set\\dogs\\2.png"):
            archive.writestr(name, b"" if name.endswith("\\") else content(name))
    rows = bring("archive", tmp_path / "a.zip")
    assert {path: (row["label"], row["problem"]) for path, row in rows.items()} == {
        "set/cats/1.png": ("cats", ""), "set/dogs/2.png": ("dogs", ""),
    }  # fmt: skip
    assert Path("data/raw/files/set/cats/1.png").read_bytes() == content("set\\cats\\1.png")


def linked(*links: tuple[str, str]) -> bytes:
    """A tar of one picture and hard links to it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("./cats/1.png")
        info.size = 700
        archive.addfile(info, io.BytesIO(content("cats/1.png")))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def test_hard_links_of_a_tar_are_files(tmp_path: Path) -> None:
    links = (("dogs/1.png", "./cats/1.png"), ("dogs/2.png", "dogs/1.png"), ("dogs/3.png", "gone.png"),
             ("../up.png", "cats/1.png"), ("cats/4.png", "../../etc/passwd"))  # fmt: skip
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(linked(*links)))
    rows = bring("archive", tmp_path / "a.tar.gz")
    assert {path: (row["label"], row["problem"]) for path, row in rows.items()} == {
        "cats/1.png": ("cats", ""), "dogs/1.png": ("dogs", ""), "dogs/2.png": ("dogs", ""),
        "dogs/3.png": ("dogs", "dangling_link"), "../up.png": ("..", "forbidden_path"),
        "cats/4.png": ("cats", "dangling_link"),
    }  # fmt: skip
    for name in ("dogs/1.png", "dogs/2.png"):
        assert Path("data/raw/files", name).read_bytes() == content("cats/1.png")


def test_hard_links_count_for_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(linked(*((f"dogs/{k}.png", "cats/1.png") for k in range(200))))
    with pytest.raises(UserError, match="max_gigabytes"):
        bring("archive", tmp_path / "a.tar", max_gigabytes=0.0003)


@pytest.mark.parametrize(("store", "fraction", "kept"), [(".store", 1, 6), ("store", 0.5, 6), ("../store", 1, 6)])
def test_a_hard_link_has_the_content_of_a_member_that_is_left_out(
    tmp_path: Path, store: str, fraction: float, kept: int
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for k in range(6):
            info = tarfile.TarInfo(f"{store}/{k}.png")
            info.size = 700
            archive.addfile(info, io.BytesIO(content(str(k))))
            for name, goal in ((f"cat/{k}.png", info.name), (f"dog/{k}.png", f"cat/{k}.png")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.LNKTYPE, goal
                archive.addfile(info)
    rows = bring("archive", tmp_path / "a.tar", fraction=fraction)
    found = {path: row for path, row in rows.items() if not path.startswith(store)}
    assert len(found) == 2 * kept * fraction
    for path, row in found.items():
        assert row["problem"] == ""
        assert (Path("data/raw") / row["file"]).read_bytes() == content(path[4:5])
