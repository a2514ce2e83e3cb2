"""`make new` on a folder that was made to harm: it ends, and names in it are text."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core import rendered
from stages.core.errors import UserError
from studies.new import columns, listing, pictures, study, tables
from tests.studies.new_folders import make, raw, run, several


def test_pipes_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, ["cat/a.png"])
    for name in ("z.jpg", "a.json", "b"):
        os.mkfifo(tmp_path / name)
    found = listing.look(tmp_path)
    assert (found.pictures, found.tables, found.others) == (["cat/a.png"], [], 3)


def test_tables_of_an_archive_have_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(6):
            file.writestr(f"{number}.csv", "x" * 100)
    monkeypatch.setattr(listing, "_UNPACKED", 250)
    assert listing.look(tmp_path / "a.zip").tables == ["0.csv", "1.csv"]
    monkeypatch.setattr(listing, "_UNPACKED", 1000)
    monkeypatch.setattr(listing, "_TABLES", 3)
    assert listing.look(tmp_path / "a.zip").tables == ["0.csv", "1.csv", "2.csv"]


def test_a_jpeg_of_very_many_scans_is_not_decoded(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", progressive=True)
    data = (tmp_path / "a.jpg").read_bytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    assert pictures._open(("a.jpg", data)).hashes
    assert pictures._open(("a.jpg", data[:-2] + last * 1500 + data[-2:])).hashes is None


def test_a_label_is_text_in_the_readme_and_on_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = ["<img src=x onerror=a>", "![x](h)", "\x1b]0;own\x07x", "\u202egpj"]
    said = run(monkeypatch, tmp_path, make(tmp_path / "pictures", several(hostile)))
    text = (tmp_path / "studies/mine/README.md").read_text()
    assert said.isprintable()
    assert "\\<img" in text
    assert "!\\[x\\](h)" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "\n- 32 pictures, 4 classes." in text


@pytest.mark.parametrize("name", ["a\x7fb", "a\x85b", "a\u2028b", "\ufeffx", "漢 😀"])
def test_a_name_stays_the_same_in_params(name: str) -> None:
    assert rendered.parse(f"a: {study._value(name)}".encode()) == {"a": name}


def test_a_name_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(UserError, match=r"'lab\\udce9.csv' is no UTF-8"):
        study._value("lab\udce9.csv")


def test_json_that_is_nested_too_deep_is_no_table(tmp_path: Path) -> None:
    make(tmp_path, ["cat/a.png"])
    (tmp_path / "x.json").write_text("[" * 100_000)
    assert tables._coco(tmp_path / "x.json", "x.json", listing.look(tmp_path)) is None
    assert columns.read(tmp_path / "x.json", "x.json") is None


def test_a_part_with_an_odd_name_makes_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"{part}/{path}" for part in ("train", "test\x7f") for path in several(["cat", "dog"])]
    run(monkeypatch, tmp_path, make(tmp_path / "pictures", paths))
    assert raw(tmp_path)["split"]["test"] == {"folder": "test\x7f"}


@pytest.mark.slow
def test_a_picture_that_blocks_its_decoder_costs_that_picture_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, several(["cat", "dog"]))
    slow = (
        tmp_path / "cat/slow.ppm"
    )  # figures in plain text: 2.6 s to decode, where the others and the imports take .3 s
    slow.write_bytes(b"P3 2000 2000 255\n" + b"0 " * 12_000_000)
    monkeypatch.setitem(pictures.LIMITS, "seconds", 1)
    found = pictures.look(listing.look(tmp_path))
    assert found.broken == ["cat/slow.ppm"]
    assert found.opened == len(found.sizes) + 1 == len(several(["cat", "dog"])) + 1
