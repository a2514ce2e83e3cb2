"""The stage from a raw folder to its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from stages.clean.params import Clean
from stages.core import files, params
from stages.core.errors import UserError

from .conftest import Raw, photo

if TYPE_CHECKING:
    from pathlib import Path


def test_params_yaml_states_every_key_and_the_safe_default() -> None:
    assert params.section(Clean, params.read("params.yaml").raw["clean"], "clean") == Clean()
    assert params.read("params.yaml").raw["clean"].keys() == Clean.model_fields.keys()


def test_every_row_has_a_fate(raw: Raw) -> None:
    raw.add("a/1.png", photo(1))
    raw.add("a/2.jpg", photo(1).resize((240, 180)), save={"quality": 90})
    raw.add("b/3.png", photo(3), "b")
    raw.add("b/empty.jpg", b"", "b")
    raw.add("stray.png", photo(9), "")
    raw.row("b/../../etc.png", "b", file="", problem="forbidden_path")
    done = raw.run()
    ledger = raw.ledger()
    assert len(ledger) == len(done.entries) == 6
    assert ledger["a/2.jpg"]["status"] == "kept"
    assert ledger["a/1.png"]["reason"] == "near_duplicate"
    assert ledger["a/1.png"]["duplicate_of"] == ledger["a/2.jpg"]["image_id"]
    assert ledger["b/empty.jpg"]["reason"] == "not_an_image"
    assert ledger["stray.png"]["reason"] == "label_missing"
    assert ledger["b/../../etc.png"]["reason"] == "forbidden_path"
    assert {r["image_id"] for r in raw.manifest()} == {r["image_id"] for r in ledger.values()} - {""}


def test_kept_pictures_decode_to_the_normalised_pixels(raw: Raw) -> None:
    picture = photo(4)
    raw.add("a/plain.png", picture)
    raw.add("a/grey.png", photo(5).convert("L"))
    raw.run()
    rows = raw.manifest()
    assert [r["path"].split("/")[1] for r in rows] == ["000_a", "000_a"]
    pixels = []
    for row in rows:
        with Image.open(raw.root / "data/clean" / row["path"]) as image:
            assert image.mode == "RGB"
            pixels.append(np.asarray(image))
    assert any(np.array_equal(p, np.asarray(picture)) for p in pixels)


@pytest.mark.parametrize("policy", ["keep_none", "keep_majority"])
def test_one_picture_under_two_labels(raw: Raw, policy: str) -> None:
    for k, label in enumerate(["a", "b", "a"]):
        raw.add(f"{label}/{k}.png", photo(1), label)
    raw.add("b/other.png", photo(2), "b")
    raw.run(label_conflicts=policy)
    ledger = raw.ledger()
    assert ledger["b/1.png"]["reason"] == "label_conflict"
    statuses = sorted(ledger[p]["status"] for p in ("a/0.png", "a/2.png"))
    assert statuses == (["quarantined"] * 2 if policy == "keep_none" else ["duplicate", "kept"])


def test_a_picture_can_be_kept_under_each_of_its_labels(raw: Raw) -> None:
    for k, label in enumerate(["a", "b", "a"]):
        raw.add(f"{label}/{k}.png", photo(1), label)
    raw.add("b/small.png", photo(1).resize((100, 75)), "b")
    raw.add("b/other.png", photo(2), "b")
    done = raw.run(label_conflicts="keep_all")
    ledger = raw.ledger()
    kept = {path for path, row in ledger.items() if row["status"] == "kept"}
    assert kept == {"a/0.png", "b/1.png", "b/other.png"}
    assert {ledger[p]["reason"] for p in ("a/0.png", "b/1.png")} == {"label_conflict"}
    assert "b/1.png is b" in ledger["a/0.png"]["detail"]
    assert ledger["a/2.png"]["duplicate_of"] == ledger["a/0.png"]["image_id"]
    assert ledger["b/small.png"]["duplicate_of"] == ledger["b/1.png"]["image_id"]
    manifest = {r["image_id"]: r for r in raw.manifest()}
    groups = {path: manifest[ledger[path]["image_id"]]["group_id"] for path in kept}
    assert groups["a/0.png"] == groups["b/1.png"] != groups["b/other.png"]
    assert len(done.conflicts) == 1


def test_a_conflict_can_fail(raw: Raw) -> None:
    raw.add("a/1.png", photo(1))
    raw.add("b/1.png", photo(1), "b")
    with pytest.raises(UserError, match=r"a/1\.png is a; b/1\.png is b"):
        raw.run(label_conflicts="fail")


@pytest.mark.parametrize(("mode", "kept", "groups"), [("drop", 2, 2), ("group", 4, 2), ("ignore", 4, 2)])
def test_what_becomes_of_duplicates(raw: Raw, mode: str, kept: int, groups: int) -> None:
    for k in range(3):
        raw.add(f"a/{k}.png", photo(1))
    raw.add("a/other.png", photo(2))
    raw.run(duplicates=mode)
    rows = raw.manifest()
    assert len({r["image_id"] for r in rows}) == len(rows) == kept
    assert len({r["group_id"] for r in rows}) == groups


def test_hints_and_boxes_of_one_photograph_stay_together(raw: Raw) -> None:
    raw.add("a/1.png", photo(1), box="0 0 60 60")
    raw.row("a/1.png", "b", box="50 20 120 90")
    raw.add("a/x.png", photo(2), group="h")
    raw.add("a/y.png", photo(3), group="h")
    raw.run()
    groups = [r["group_id"] for r in raw.manifest()]
    assert len(groups) == 4
    assert len(set(groups)) == 2


def _bytes(root: Path) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and "raw" not in p.parts
    }


def test_order_and_workers_change_no_byte(tmp_path: Path) -> None:
    results = []
    for number, workers in enumerate((1, 3)):
        one = Raw(tmp_path / str(number))
        for seed in range(6):
            one.add(f"c{seed % 2}/{seed}.png", photo(seed), f"c{seed % 2}")
            one.add(f"c{seed % 2}/{seed}.jpg", photo(seed), f"c{seed % 2}")
        one.rows = one.rows[:: -1 if number else 1]
        one.run(workers=workers)
        results.append(_bytes(one.root))
    assert results[0] == results[1]


def test_a_published_test_picture_stays_and_its_copy_in_train_goes(raw: Raw) -> None:
    large, small = photo(1, 300, 200), photo(1, 300, 200).resize((150, 100))
    raw.add("train/a/large.png", large)
    raw.add("train/a/other.png", photo(2, 300, 200))
    raw.add("test/a/small.png", small)
    raw.published = ["test"]
    raw.run()
    ledger = raw.ledger()
    assert ledger["test/a/small.png"]["status"] == "kept"
    assert ledger["train/a/large.png"]["status"] == "duplicate"


def test_links_that_were_cut_stand_in_the_audit(raw: Raw) -> None:
    for k in range(4):
        raw.add(f"a/{k}.png", photo(1, 200, 150).rotate(4 * k))
    done = raw.run(match={"max_group": 2})
    audit = files.read_json(raw.root / "data/clean/audit.json")
    ids = {row["image_id"] for row in raw.manifest()}
    assert len(audit["links_cut"]) == len(done.cut) > 0
    assert all(a in ids and b in ids for a, b in audit["links_cut"])


@pytest.mark.parametrize(
    "file", ["../../../private/x.png", "files/../../x.png", "/etc/x.png", "manifest.csv", "files/\0"]
)
def test_a_manifest_that_leads_out_of_the_raw_folder_is_refused(file: str, raw: Raw) -> None:
    raw.row("a/1.png", file=file)
    with pytest.raises(UserError, match=r"data/raw/manifest\.csv is damaged \(the path .* does not lie in files/\); "):
        raw.run()


@pytest.mark.parametrize("box", ["1 2", "a b c d", "0 0 1 " + "9" * 400, "0 0 9 " + "9" * 5000, "nan 0 9 9"])
def test_a_box_that_is_none_is_a_reason(box: str, raw: Raw) -> None:
    raw.add("a/1.png", photo(1))
    raw.add("a/2.png", photo(2), box=box)
    raw.run()
    assert {path: row["reason"] for path, row in raw.ledger().items()} == {"a/1.png": "", "a/2.png": "bad_box"}
