"""What becomes of copies: which one stays, and what is said of it; also where there are thousands."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.clean.decide import Entry, decide
from stages.clean.describe import Print
from stages.clean.match import Pair
from stages.clean.params import Clean
from stages.core import curation, files

from .conftest import Raw, photo, scene


def rows(labels: list[str], bytes_: int = 1) -> list[Entry]:
    """Rows of one picture, some of them with the same bytes."""
    prints = [Print(f"{k % bytes_:064}", "pixels", 100, 100, 999, ".jpg") for k in range(len(labels))]
    return [Entry(f"{label}/IMG_{k:05}.jpg", label, "", None, prints[k], status="kept")
            for k, label in enumerate(labels)]  # fmt: skip


def test_thousands_of_rows_of_one_picture_stay_short_and_can_be_read(raw: Raw) -> None:
    for k in range(220):
        raw.add(f"class {k % 20}/{k}.png", Image.new("RGB", (20, 20), "grey"), f"class {k % 20}")
    raw.add("a/1.png", photo(1))
    raw.run()
    ledger = files.read_rows(raw.root / "data/clean/ledger.csv")
    conflicts = [row for row in ledger if row["reason"] == "label_conflict"]
    assert len(conflicts) == 220
    for row in conflicts:
        assert "11 files are class 0 (class 0/0.png, class 0/20.png, class 0/40.png" in row["detail"]
        assert "165 files have 15 other labels" in row["detail"]
        assert len(row["detail"]) < 1000


@pytest.mark.parametrize("labels", [["a"] * 6000, ["a", "b"] * 3000, [f"c{k % 300}" for k in range(6000)]])
def test_thousands_of_copies_cost_no_square(labels: list[str]) -> None:
    entries = rows(labels, 6000)
    start = time.process_time()
    done = decide(entries, [], Clean())
    assert time.process_time() - start < 1
    kept = [entry for entry in entries if entry.status == "kept"]
    assert len(kept) == (len(set(labels)) == 1)
    assert len(done.conflicts) == (len(set(labels)) > 1)


def test_a_chain_of_copies_alone_is_no_conflict() -> None:
    """a and b are copies, and b and c: a and c were never proven to be."""
    entries = [Entry(f"{k}.jpg", label, "", None, Print(f"{k:064}", f"p{k}", 9, 9), status="kept")
               for k, label in enumerate("xxy")]  # fmt: skip
    same = [Pair(0, 1, 0, "hash", verdict="same"), Pair(1, 2, 0, "hash", verdict="same")]
    assert [e.reason for e in decide(entries, same[:1], Clean()).entries] == ["", "near_duplicate", ""]
    fresh = [Entry(e.path, e.label, "", None, e.print, status="kept") for e in entries]
    assert {e.reason for e in decide(fresh, same, Clean()).entries} == {"label_conflict"}


def test_the_copy_that_stays_says_how_it_is_turned(raw: Raw) -> None:
    """The first row of the pixels goes, since a later one has more bytes."""
    raw.add("a/1.png", scene(1), save={"compress_level": 9})
    raw.add("a/2.png", scene(1), save={"compress_level": 0})
    raw.add("a/3.png", ImageOps.mirror(scene(1)))
    raw.run()
    ledger = raw.ledger()
    assert ledger["a/1.png"]["status"] == "duplicate"
    assert (ledger["a/2.png"]["reason"], ledger["a/3.png"]["reason"]) == ("turned_copy", "turned_copy")
    assert ledger["a/2.png"]["detail"] == "shows a/3.png mirrored"
    assert ledger["a/3.png"]["detail"] == "shows a/2.png mirrored"


def test_links_that_were_cut_name_pictures_that_stay(raw: Raw) -> None:
    for k, level in enumerate((9, 0)):
        raw.add(f"a/1 {k}.png", photo(1, 200, 150), save={"compress_level": level})
    for k in range(1, 4):
        raw.add(f"a/2 {k}.png", photo(1, 200, 150).rotate(4 * k))
    done = raw.run(match={"max_group": 2})
    kept = {row["image_id"] for row in raw.manifest()}
    audit = files.read_json(raw.root / "data/clean/audit.json")
    assert done.cut
    assert {name for link in audit["links_cut"] for name in link} <= kept


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_the_bytes_of_further_frames_make_no_better_copy(kind: str, raw: Raw) -> None:
    first = Image.fromarray(np.repeat(np.asarray(photo(1).convert("L"))[..., None] // 4 * 4, 3, axis=2))
    frames = [Image.effect_noise(first.size, 200).convert("RGB") for _ in range(8)]
    buffer = io.BytesIO()
    more = {"lossless": True} if kind == "WEBP" else {}
    first.save(buffer, kind, save_all=True, append_images=frames, **more)
    raw.add(f"a/0.{kind.lower()}", buffer.getvalue())
    raw.add("a/1.png", first)
    raw.run()
    assert len(buffer.getvalue()) > (raw.root / "data/raw/files/a/1.png").stat().st_size
    assert raw.ledger()["a/1.png"]["status"] == "kept"
    assert raw.ledger()[f"a/0.{kind.lower()}"]["status"] == "duplicate"


def test_numbers_of_any_length_are_in_order() -> None:
    words = ["", "1a", "01b", "1c", "2", "9", "010", "a", "a0", "a1", "a9", "a10", "a" + "1" * 5000, "a" + "2" * 5000]
    mixed = words[::-1]
    assert sorted(mixed, key=curation.natural) == words
