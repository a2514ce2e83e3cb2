import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages.core import files
from stages.core.errors import UserError
from stages.ingest import ingest
from stages.ingest.params import check_source

ROOT = Path(__file__).parents[2]
DRAWN = ["cat/09.png", "cat/15.png", "cat/17.png", "cat/18.png"]
PNG = io.BytesIO()
Image.new("RGB", (4, 4), "red").save(PNG, "PNG")


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def bring(source: str, path: Path, **options: Any) -> dict[str, dict[str, str]]:
    ingest(check_source({"source": source, "path": str(path), **options}))
    return {row["path"]: row for row in files.read_rows("data/raw/manifest.csv")}


def test_the_digits_are_the_ones_of_the_checksum(tmp_path: Path) -> None:
    rows = bring("digits", ROOT / "data/digits.sha256")
    assert len(rows) == 1797
    assert {row["label"] for row in rows.values()} == set("0123456789")
    with Image.open("data/raw/files/0/digit_0000.png") as image:
        assert image.size == (8, 8)
    (tmp_path / "other").write_text("0" * 64)
    with pytest.raises(UserError, match="other data, other study"):
        bring("digits", tmp_path / "other")


def test_whatever_a_scrape_left_gets_a_row(tmp_path: Path) -> None:
    source = tmp_path / "source"
    cat = source / "cat"
    cat.mkdir(parents=True)
    odd = 'new\nline "quotes", \N{CAT FACE} é.png'
    for name in (odd, "n" * 251 + ".png", "A.png", "a.png", "e\u0301.png", "\u00e9.png"):
        (cat / name).write_bytes(PNG.getvalue())
    (cat / "stray").write_bytes(b"l")
    (source / "readme.txt").write_text("above the label folders")
    (cat / "folder.jpg").mkdir()
    (cat / "dangling.png").symlink_to("nowhere")
    (cat / "loop.png").symlink_to("loop.png")
    (cat / "up").symlink_to("..")
    (cat / "link.png").symlink_to(odd)
    os.mkfifo(cat / "pipe")
    Path(os.fsdecode(os.fsencode(cat) + b"/\xff.png")).write_bytes(PNG.getvalue())

    rows = bring("folder", source)

    assert len(rows) == 15
    problems = {path: row["problem"] for path, row in rows.items() if row["problem"]}
    assert problems == {
        "cat/folder.jpg": "folder",
        "cat/dangling.png": "dangling_link",
        "cat/loop.png": "link_loop",
        "cat/up": "link_to_folder",
        "cat/pipe": "not_a_file",
    }
    assert rows["readme.txt"]["label"] == ""
    assert rows[f"cat/{odd}"]["label"] == "cat"
    assert "cat/\\udcff.png" in rows
    for row in rows.values():
        assert bool(row["file"]) != bool(row["problem"])
        if row["file"]:
            assert (Path("data/raw") / row["file"]).is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "s" / "cat").mkdir(parents=True)
    secret = tmp_path / "s" / "cat" / "a.png"
    secret.write_bytes(PNG.getvalue())
    secret.chmod(0)
    assert bring("folder", tmp_path / "s")["cat/a.png"]["problem"] == "unreadable"


def test_a_file_that_grows_while_it_is_copied_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "s" / "cat" / "a.png"
    source.parent.mkdir(parents=True)
    source.write_bytes(PNG.getvalue())

    def grow(path: Path, target: Path) -> None:
        target.write_bytes(path.read_bytes())
        path.write_bytes(PNG.getvalue() + b"more")

    monkeypatch.setattr("shutil.copyfile", grow)
    assert bring("folder", tmp_path / "s")["cat/a.png"]["problem"] == "changed_while_read"
    assert not Path("data/raw/files/cat/a.png").exists()


def test_the_label_can_stand_at_the_second_level(tmp_path: Path) -> None:
    (tmp_path / "s/train/cat/more").mkdir(parents=True)
    (tmp_path / "s/train/cat/more/1.png").write_bytes(PNG.getvalue())
    assert bring("folder", tmp_path / "s", label=2)["train/cat/more/1.png"]["label"] == "cat"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_a_fraction_of_every_folder(tmp_path: Path, kind: str) -> None:
    names = {part: [f"{part}/{i:02}.png" for i in range(n)] for part, n in (("cat", 40), ("dog", 20), ("\xe9", 2))}
    everything = [name for part in names.values() for name in part]
    for name in everything:
        (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "s" / name).write_bytes(PNG.getvalue())
    path = tmp_path / "s"
    if kind == "zip":
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in reversed(everything):  # the order in the archive does not matter
                archive.write(tmp_path / "s" / name, name)
    if kind == "tar.gz":
        path = tmp_path / "a.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(tmp_path / "s", ".")
    source = "folder" if kind == "folder" else "archive"

    drawn = {name.removeprefix("./") for name in bring(source, path, fraction=0.1)}

    assert {part: len(drawn & set(names[part])) for part in names} == {"cat": 4, "dog": 2, "\xe9": 1}
    assert {f"files/{name}" for name in drawn} == {
        p.relative_to("data/raw").as_posix() for p in Path("data/raw/files").rglob("*.png")
    }
    assert sorted(drawn & set(names["cat"])) == DRAWN  # the same on every machine, from every kind of source
    # A file more elsewhere moves nothing here.
    if kind == "folder":
        (path / "dog" / "more.png").write_bytes(PNG.getvalue())
        again = set(bring("folder", path, fraction=0.1))
        assert again & set(names["cat"]) == drawn & set(names["cat"])
        assert len(bring("folder", path, fraction=1)) == 63


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_cannot_write_outside(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    names = ["cat/1.png", "dog/2.png", "../evil.png", "/evil.png", "cat/../../evil.png", "..\\evil.png"]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, PNG.getvalue())
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(PNG.getvalue())
                tar.addfile(info, io.BytesIO(PNG.getvalue()))
            link = tarfile.TarInfo("cat/link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
            tar.addfile(tarfile.TarInfo("cat/1.png"))
    rows = bring("archive", path)
    assert sum(row["problem"] == "forbidden_path" for row in rows.values()) == 3  # two members share a path
    assert rows["dog/2.png"]["file"] == "files/dog/2.png"
    assert not list(tmp_path.rglob("evil.png"))
    if kind != "zip":
        assert rows["cat/link.png"]["problem"] == "not_a_file"
        entries = files.read_rows("data/raw/manifest.csv")
        assert [e["problem"] for e in entries if e["path"] == "cat/1.png"] == ["", "twice_in_archive"]


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.png", bytes(2_000_000))
    with pytest.raises(UserError, match=r"is over `ingest.max_gigabytes` = 0.001 unpacked"):
        bring("archive", tmp_path / "a.zip", max_gigabytes=0.001)
    assert not Path("data/raw").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "web", "path": "x"}, "`ingest.source` is 'web'; it can be digits, folder, archive, cifar10"),
        (
            {"source": "folder", "path": "x", "labell": 2},
            "unknown key `ingest.labell`; did you mean `label`",
        ),
        ({"source": "digits", "path": "x", "label": 2}, "unknown key `ingest.label`"),
        ({"source": "folder", "path": "x", "label": 0}, "`ingest.label` is 0"),
        ({"source": "folder", "path": "x", "label": "name"}, "`label: name` and `name_pattern` need each other"),
        ({"source": "folder", "path": "x", "name_pattern": "(?P<label>a)"}, "need each other"),
        ({"source": "folder", "path": "x", "label": "name", "name_pattern": "(a)"}, "no group named `label`"),
        ({"source": "folder", "path": "x", "label": "name", "name_pattern": "(?P<label>"}, "no regular expression"),
        ({"source": "folder", "path": "x", "group": {"pattern": "(?P<label>a)"}}, "no group named `group`"),
        ({"source": "folder", "path": "x", "label": "table"}, "`label: table` needs `table`"),
        (
            {
                "source": "folder",
                "path": "x",
                "table": {"file": "a.csv", "group": "g"},
                "group": {"pattern": "(?P<group>a)"},
            },
            "exclude each other",
        ),
        ({"source": "folder", "path": "x", "fraction": 0}, "`ingest.fraction`"),
        ({"source": "digits", "path": "x", "fraction": 0.5}, "unknown key `ingest.fraction`"),
        ({"source": "folder"}, "the key `ingest.path` is missing"),
        ([], "`ingest.source` is None"),
    ],
)
def test_a_wrong_key_is_named(values: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        check_source(values)
    assert message in str(error.value)


@pytest.mark.parametrize("source", ["folder", "archive"])
def test_a_wrong_path_is_named(tmp_path: Path, source: str) -> None:
    with pytest.raises(UserError, match=r"`ingest.path` is .*missing"):
        bring(source, tmp_path / "missing")


def test_an_empty_folder_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no files"):
        bring("folder", tmp_path / "empty")
    assert not Path("data/raw").exists()


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("cat/1.bin")
        info.size = 100_000
        tar.addfile(info, io.BytesIO(os.urandom(100_000)))
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(UserError, match="is damaged"):
        bring("archive", path)
