import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core.errors import UserError
from tests.ingest.test_ingest import bring


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def uecfood(tmp_path: Path) -> Path:
    """The exact layout: unpadded folders, mixed line ends, blank lines, trailing commas, one name and photo twice."""
    root = tmp_path / "UECFOOD256"
    for number in ("1", "2", "10"):
        (root / number).mkdir(parents=True)
    (root / "category.txt").write_bytes(b"id\tname\r\n1\trice\n\n2\tchip, fish & chips,\r\n10\trice\r")
    (root / "multiple_food.txt").write_text("1 2\n")
    for number, lines in {
        "1": "img x1 y1 x2 y2\r\n100 0 0 10 10\r\n101 1 2 3 4\n101 5 6 7 8\n",
        "2": "img x1 y1 x2 y2\n100 2 2 9 9\n\n",
        "10": "img x1 y1 x2 y2\n7 0 0 4 4",
    }.items():
        (root / number / "bb_info.txt").write_bytes(lines.encode())
    for name in ("1/100", "1/101", "2/100", "10/7", "10/8"):
        Image.new("RGB", (12, 12)).save(root / f"{name}.jpg")
    return root


def test_uecfood256_is_labelled_by_id_and_grouped_by_photo(uecfood: Path) -> None:
    rows = bring("uecfood256", uecfood)
    assert {path: row["label"] for path, row in rows.items() if path.endswith(".jpg")} == {
        "1/100.jpg": "1 rice",
        "1/101.jpg": "1 rice",
        "2/100.jpg": "2 chip, fish & chips",
        "10/7.jpg": "10 rice",
        "10/8.jpg": "10 rice",
    }
    assert rows["1/100.jpg"]["group"] == rows["2/100.jpg"]["group"] == "100"
    assert {path for path, row in rows.items() if not row["label"]} == {
        "category.txt", "multiple_food.txt", "1/bb_info.txt", "2/bb_info.txt", "10/bb_info.txt",
    }  # fmt: skip


def test_uecfood256_boxes_are_rows(uecfood: Path) -> None:
    from stages.core import files

    bring("uecfood256", uecfood, boxes="crop")
    rows = [(r["path"], r["box"], r["problem"]) for r in files.read_rows("data/raw/manifest.csv") if r["label"]]
    assert sorted(rows) == [
        ("1/100.jpg", "0 0 10 10", ""),
        ("1/101.jpg", "1 2 3 4", ""),
        ("1/101.jpg", "5 6 7 8", ""),
        ("10/7.jpg", "0 0 4 4", ""),
        ("10/8.jpg", "", "box_missing"),
        ("2/100.jpg", "2 2 9 9", ""),
    ]


def test_uecfood256_says_what_to_fetch(tmp_path: Path, uecfood: Path) -> None:
    with pytest.raises(UserError, match=r"no category\.txt; fetch UECFOOD256"):
        bring("uecfood256", tmp_path)
    (uecfood / "3").mkdir()
    (uecfood / "3" / "1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="no line for the class 3"):
        bring("uecfood256", uecfood)


def test_cifar10_comes_from_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    from torchvision.datasets import CIFAR10

    # An archive in CIFAR-10's own format, with two images a batch; its checksums stand in for the published ones.
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    names = [*(name for name, _ in CIFAR10.train_list), "test_batch"]
    for number, name in enumerate(names):
        pixels = np.full((2, 3072), number, dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane", "automobile"]}))
    downloads = Path(".cache/downloads")
    downloads.mkdir(parents=True)
    with tarfile.open(downloads / CIFAR10.filename, "w:gz") as tar:
        tar.add(folder, CIFAR10.base_folder)
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", lambda path, md5=None: Path(path).is_file())  # noqa: ARG005
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: Path(path).is_file())  # noqa: ARG005
    (tmp_path / "md5").write_text(f"{CIFAR10.tgz_md5}  {CIFAR10.filename}\n")

    rows = bring("cifar10", tmp_path / "md5")

    assert len(rows) == 12
    assert rows["test/automobile/00001.png"]["label"] == "automobile"
    with Image.open("data/raw/files/test/automobile/00001.png") as image:
        assert image.size == (32, 32)
        assert image.getpixel((0, 0)) == (5, 5, 5)


def test_cifar10_without_network_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.error import URLError

    from torchvision.datasets import CIFAR10

    def fail(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    (tmp_path / "md5").write_text(CIFAR10.tgz_md5)
    with pytest.raises(UserError, match=r"put cifar-10-python.tar.gz .* into .cache/downloads"):
        bring("cifar10", tmp_path / "md5")
    (tmp_path / "md5").write_text("0")
    with pytest.raises(UserError, match="must hold the MD5"):
        bring("cifar10", tmp_path / "md5")


def test_uecfood256_with_a_space_in_a_folder_or_a_giant_number(uecfood: Path) -> None:
    (uecfood / "2").rename(uecfood / "2 ")
    with (uecfood / "1/bb_info.txt").open("a") as file:
        file.write(f"\n100 0 0 5 {'9' * 5000}\n")
    rows = bring("uecfood256", uecfood, boxes="crop")
    assert (rows["2 /100.jpg"]["box"], rows["2 /100.jpg"]["label"][:2]) == ("2 2 9 9", "2 ")
    assert "5006 characters" in rows["1/100.jpg"]["box"]
