"""Shuffling within a window: each image once an epoch, from few places of the disk, as well mixed as the whole."""

from __future__ import annotations

import csv
import errno
import hashlib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from stages.core import cells, files
from stages.core.errors import UserError
from stages.pictures import inputs
from stages.train import data, feed, order, predict, store
from stages.train import run as engine
from tests.train import made

if TYPE_CHECKING:
    from numpy.typing import NDArray


def named_by_content(folder: Path) -> None:
    """Give the pictures of a study the ids that `clean` gives, in its order: class by class, then by id."""
    manifest = files.read_rows(folder / "data/clean/manifest.csv")
    parts = {row["image_id"]: row["split"] for row in files.read_rows(folder / cells.split_file(0))}
    for row in manifest:
        row["split"] = parts[row["image_id"]]
        row["image_id"] = hashlib.sha256((folder / "data/clean" / row["path"]).read_bytes()).hexdigest()[:16]
    manifest.sort(key=lambda row: (row["label"], row["image_id"]))
    split = [{name: row[name] for name in ("image_id", "split")} for row in manifest]
    files.write_rows(folder / cells.split_file(0), list(split[0]), split)
    clean = [{name: row[name] for name in row if name != "split"} for row in manifest]
    files.write_rows(folder / "data/clean/manifest.csv", list(clean[0]), clean)


# --- the order ---


def test_without_a_window_the_order_is_what_it_was() -> None:
    """Committed cells were trained in it."""
    for seed, epoch, count in ((0, 1, 30), (3, 17, 1000)):
        expected = np.random.default_rng([seed, zlib.crc32(b"order"), epoch]).permutation(count)
        assert np.array_equal(order.permutation(seed, epoch, count), expected)


@pytest.mark.parametrize(("count", "window"), [(1000, 640), (1000, 100), (1000, 999), (10_007, 1280), (5, 2), (70, 1)])
def test_each_image_once_an_epoch_and_blocks_are_not_torn_apart(count: int, window: int) -> None:
    found = order.permutation(4, 2, count, window)
    assert np.array_equal(np.sort(found), np.arange(count))
    size = max(1, window // 64)
    place = np.argsort(found)
    for start in range(0, count, size):  # the images of a block lie in one window, or where two meet
        block = place[start : start + size] // window
        assert block.max() - block.min() <= 1
    for start in range(0, count, window):
        stretches = 1 + (np.diff(np.sort(found[start : start + window])) > 1).sum()
        assert stretches <= -(-window // size) + 1


def test_images_of_a_window_come_from_everywhere_and_meet_others_in_the_next_epoch() -> None:
    one, other = (order.permutation(0, epoch, 100_000, 6400) for epoch in (1, 2))
    for start in range(0, 96_000, 6400):
        tenths = np.bincount(one[start : start + 6400] // 10_000, minlength=10)
        assert tenths.max() < 6400 * 0.3
    windows = np.argsort(one) // 6400, np.argsort(other) // 6400
    together = np.mean(windows[0] == windows[1])
    assert together == pytest.approx(1 / 15.6, abs=0.02)
    assert not np.array_equal(one, order.permutation(1, 1, 100_000, 6400))
    assert np.array_equal(one, order.permutation(0, 1, 100_000, 6400))


def test_batches_are_as_mixed_as_those_of_a_shuffle_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pearson's statistic of the classes of a batch has a mean of 9 where ten classes are drawn from all images."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    shares = rng.multinomial(20_000, np.arange(1, 11) / 55)
    rows = [
        {"image_id": name, "path": f"images/{name}.png", "label": str(k)}
        for k, many in enumerate(shares)
        for name in sorted(rng.bytes(8).hex() for _ in range(many))
    ]
    files.write_rows(data.CLEAN / "manifest.csv", list(rows[0]), rows)
    split = [{"image_id": row["image_id"], "split": "train" if rng.random() < 0.7 else "test"} for row in rows]
    files.write_rows(cells.split_file(0), list(split[0]), split)
    files.write_json(data.CLASSES, [str(k) for k in range(10)])

    def statistic(by_id: bool, window: int | None) -> float:
        found = data.load(0, by_id=by_id)
        labels = found.labels[found.training]
        taken = labels[order.permutation(0, 1, len(labels), window)]
        batches = np.stack(
            [np.bincount(b, minlength=10) for b in np.split(taken[: len(taken) // 64 * 64], len(taken) // 64)]
        )
        expected = 64 * np.bincount(labels, minlength=10) / len(labels)
        return float(((batches - expected) ** 2 / expected).sum(axis=1).mean())

    assert statistic(by_id=False, window=None) == pytest.approx(9, abs=1)
    assert statistic(by_id=True, window=256) == pytest.approx(9, abs=1)
    assert statistic(by_id=True, window=2048) == pytest.approx(9, abs=1)
    assert statistic(by_id=False, window=256) > 13, "of a store that is one class after the other a window sees few"


def test_partners_are_drawn_from_the_same_window_and_from_all_of_it() -> None:
    taken, drawn = order.permutation(0, 1, 1000, 300), np.random.default_rng(1).random(1000)
    partners = order.partners(taken, drawn, 300)
    place = np.argsort(taken)
    for row in range(1000):
        window = taken[place[row] // 300 * 300 :][:300]
        assert partners[row] == window[int(drawn[row] * len(window))]
    assert len(np.unique(partners)) > 600  # 632 of 1,000 are expected


# --- reading ahead ---


def test_a_window_is_fetched_before_its_first_batch_and_one_more_meanwhile() -> None:
    taken, fetched = order.permutation(0, 1, 1000, 300), list[int]()
    batches = [taken[start : start + 64] for start in range(0, 1000, 64)]
    used = 0
    for rows in order.ahead(batches, taken, 300, lambda rows: fetched.extend(rows.tolist())):
        used += len(rows)
        assert set(rows.tolist()) <= set(fetched)
        assert len(fetched) <= -(-used // 300) * 300 + 300
    assert used == 1000
    assert fetched == taken.tolist()


def test_an_error_of_the_disk_ends_the_epoch() -> None:
    def fails(_rows: Any) -> None:
        raise OSError(errno.EIO, "a bad disk")

    with pytest.raises(OSError, match="a bad disk"):
        list(order.ahead([np.arange(4)], np.arange(4), 2, fails))


# --- a cell ---


@pytest.fixture
def seen(study: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int]]]:
    """What a cell in a study with ids of content was fed with: epoch and rows."""
    named_by_content(study)
    log: list[tuple[int, list[int]]] = []
    whole = feed.Live.__call__

    def watched(self: feed.Live, epoch: int, rows: Any, labels: Any) -> Any:
        log.append((epoch, rows.tolist()))
        return whole(self, epoch, rows, labels)

    monkeypatch.setattr(feed.Live, "__call__", watched)
    return log


def test_a_cell_is_fed_in_windows_and_its_logits_are_in_the_order_of_the_split(
    seen: list[tuple[int, list[int]]],
) -> None:
    cell = made.settings(made.CNN, shuffle_window=12, augment={"horizontal_flip": 0.5, "mixup": 0.2})
    engine.run(cell, "v", 0)
    for epoch in (1, 2, 3):
        fed = [row for at, rows in seen if at == epoch for row in rows]
        assert fed == order.permutation(0, epoch, 30, 12).tolist()
    loaded = predict.load("v", 0)
    assert loaded.data.ids == sorted(loaded.data.ids)
    labels = {row["image_id"]: int(row["label"][1]) for row in files.read_rows("data/clean/manifest.csv")}
    with np.load("runs/v/0/logits.npz") as stored, Path(cells.split_file(0)).open() as split:
        rows = list(csv.DictReader(split))
        for part in ("train", "val", "test"):
            ids = [row["image_id"] for row in rows if row["split"] == part]
            assert [loaded.data.ids[k] for k in loaded.data.rows[part]] == ids
            np.testing.assert_allclose(predict.logits(loaded, loaded.images(part)), stored[part], rtol=1e-4, atol=1e-5)
        ids = [row["image_id"] for row in rows if row["split"] == "val"]
        top1 = np.mean(stored["val"].argmax(axis=1) == [labels[name] for name in ids])
    best = files.read_json("results/v/0/train/config.json")["best_epoch"]
    assert top1 == pytest.approx(float(files.read_rows("results/v/0/train/history.csv")[best - 1]["val_top1"]))
    shown = [about["image_id"] for about in inputs.fed(cell, 0, loaded.data)[0]][:8]
    assert shown == [loaded.data.ids[k] for k in loaded.data.training[seen[0][1]]]


BACKBONE = {"name": "backbone", "architecture": "mobilenetv3_small_050", "weights": "none", "trainable": "head"}


@pytest.mark.parametrize(
    "own",
    [
        {"model": made.CNN, "augment": {"mixup": 0.2}},
        {"model": BACKBONE, "size": 33},
        {"model": BACKBONE, "size": 33, "augment": "flip_crop", "views": 2},
    ],
)
def test_pixels_or_activations_are_read_window_by_window(
    study: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    own: dict[str, Any],
) -> None:
    read: list[NDArray[Any]] = []

    def fetched(stored: NDArray[Any], rows: NDArray[np.int64]) -> None:
        assert isinstance(stored, np.memmap)
        assert stored.shape[0] == (48 if own["model"] is made.CNN else 30), "all pictures, or activations of training"
        read.append(rows)

    monkeypatch.setattr(store, "fetch", fetched)
    engine.run(made.settings(**own, shuffle_window=12), "v", 0)
    rows = data.load(0, by_id=True).training if own["model"] is made.CNN else np.arange(30)
    expected = [
        rows[window] for epoch in (1, 2, 3) for window in np.split(order.permutation(0, epoch, 30, 12), (12, 24))
    ]
    assert [part.tolist() for part in read] == [np.sort(part).tolist() for part in expected]


def test_a_window_changes_the_record_and_none_does_not() -> None:
    assert "shuffle_window" not in made.settings(shuffle_window=None).model_dump()
    assert made.settings(shuffle_window=20).model_dump()["shuffle_window"] == 20


def test_refused(study: Path) -> None:  # noqa: ARG001
    with pytest.raises(UserError, match=r"`variants.v`: `shuffle_window: 7` is smaller than `batch: 8`"):
        made.settings(shuffle_window=7)
    with pytest.raises(UserError, match=r"`variants.v.shuffle_window` has no effect on the model `random`"):
        made.settings({"name": "random"}, shuffle_window=20)
    with pytest.raises(UserError, match=r"`variants.v.shuffle_window` is 0"):
        made.settings(shuffle_window=0)
    with pytest.raises(UserError, match=r"`shuffle_window: 30` holds all 30 training images; leave it out"):
        engine.run(made.settings(shuffle_window=30), "v", 0)
