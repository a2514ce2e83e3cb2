"""The first difference is named in the words of the file's kind."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from stages.core import files
from stages.verify import difference


def pair(tmp_path: Path, name: str, one: str, two: str) -> tuple[Path, Path]:
    paths = tmp_path / "recorded" / name, tmp_path / "again" / name
    for path, text in zip(paths, (one, two), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return paths


@pytest.mark.parametrize(
    ("name", "one", "two", "words"),
    [
        (
            "a.csv",
            "epoch,loss\n1,.5\n2,.4\n",
            "epoch,loss\n1,.5\n2,.3\n",
            "row 2 (epoch 2), loss: here .4, made again .3",
        ),
        ("a.csv", "k,v\na,1\n", "k,v\na,1\nb,2\n", "row 2 (b, 2): made again, not here"),
        ("a.csv", "k,v\na,1\nb,2\n", "k,v\na,1\n", "row 2 (b, 2): here, not made again"),
        ("a.json", json.dumps({"a": {"b": [1, 2]}}), json.dumps({"a": {"b": [1, 3]}}), "a.b[1]: here 2, made again 3"),
        ("a.md", "one\ntwo\n", "one\n2\n", "line 2: here 'two', made again '2'"),
        ("a.json", '{"a": 1}', '{"a":  1}', "the bytes differ, but not the content"),
        ("a.json", '{"a": 1}', "{", "cannot be read"),
    ],
)
def test_text(tmp_path: Path, name: str, one: str, two: str, words: str) -> None:
    found = difference.first(*pair(tmp_path, name, one, two))
    assert found is not None
    assert words in found


def test_equal_files_and_folders_have_no_difference(tmp_path: Path) -> None:
    one, two = pair(tmp_path, "a.csv", "k\n1\n", "k\n1\n")
    assert difference.first(one, two) is None
    assert difference.first(one.parent, two.parent) is None
    (two.parent / "b").write_text("")
    assert difference.first(one.parent, two.parent) == "b: made again, not here"


def test_tensors(tmp_path: Path) -> None:
    value = np.zeros((2, 3), np.float32)
    changed = value.copy()
    changed[1, 2] = 0.25
    np.savez(tmp_path / "a.npz", train=value, test=value)
    np.savez(tmp_path / "b.npz", train=value, test=changed)
    expected = "tensor test: 1 of 6 values differ, the first at (1, 2), by at most 0.25"
    assert difference.first(tmp_path / "a.npz", tmp_path / "b.npz") == expected
    save_file({"fc.weight": value}, tmp_path / "a.safetensors")
    save_file({"fc.weight": changed}, tmp_path / "b.safetensors")
    (tmp_path / ("0" * 32)).write_bytes((tmp_path / "a.npz").read_bytes())  # as in a cache, without a suffix
    assert difference.first(tmp_path / ("0" * 32), tmp_path / "b.npz") == expected
    assert "tensor fc.weight" in str(difference.first(tmp_path / "a.safetensors", tmp_path / "b.safetensors"))


def test_pictures(tmp_path: Path) -> None:
    picture = Image.new("RGB", (5, 4))
    picture.save(tmp_path / "a.png")
    picture.putpixel((3, 2), (3, 0, 0))
    picture.save(tmp_path / "b.png")
    words = "1 of 20 pixels differ, the first at x 3, y 2"
    assert difference.first(tmp_path / "a.png", tmp_path / "b.png") == words
    assert difference.close(tmp_path / "a.png", tmp_path / "b.png")
    pages = [tmp_path / "a.html", tmp_path / "b.html"]

    def embed() -> None:
        for page in pages:
            data = base64.b64encode(page.with_suffix(".png").read_bytes()).decode()
            page.write_text(f'<img src="data:image/png;base64,{data}"> 0.5')

    embed()
    assert difference.close(*pages)
    picture.putpixel((3, 2), (9, 0, 0))
    picture.save(tmp_path / "b.png")
    embed()
    assert not difference.close(tmp_path / "a.png", tmp_path / "b.png")
    assert not difference.close(*pages)


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("mlp,0.1234567890123", "mlp,0.1234567890124", True),
        ("mlp,0.12345", "mlp,0.12346", False),
        ("mlp,1", "cnn,1", False),
        ("mlp,1", "mlp,1,2", False),
    ],
)
def test_close_forgives_the_last_digits_and_nothing_else(tmp_path: Path, one: str, two: str, same: bool) -> None:
    assert difference.close(*pair(tmp_path, "a.csv", one, two)) is same


def test_tables_in_parquet(tmp_path: Path) -> None:
    one, two, near = (tmp_path / f"{name}.parquet" for name in ("one", "two", "near"))
    files.write_parquet(one, {"image_id": ["a", "b"], "loss": np.array([0.5, 0.25], np.float32)})
    files.write_parquet(two, {"image_id": ["a", "b"], "loss": np.array([0.5, 0.75], np.float32)})
    files.write_parquet(near, {"image_id": ["a", "b"], "loss": np.array([0.5, 0.25 + 1e-10])})
    assert difference.first(one, two) == "row 2 (image_id b), loss: here 0.25, made again 0.75"
    assert not difference.close(one, two)
    assert difference.close(one, near)
