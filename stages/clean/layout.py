"""Label folders, pictures, manifest, ledger and audit under data/clean."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

import imagehash
import PIL

from stages.clean.opencv import cv2
from stages.core import files
from stages.core.console import progress
from stages.core.curation import natural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.clean.decide import Decisions, Entry
    from stages.clean.params import Clean
    from stages.clean.pictures import Pictures

LEDGER = ("path", "sha256", "label", "status", "reason", "detail", "image_id", "duplicate_of")
MANIFEST = ("image_id", "path", "label", "width", "height", "group_id")
_UNSAFE = re.compile(r"[^\w.+-]+")


def folders(labels: Sequence[str]) -> dict[str, str]:
    """Folder of each label: its zero-padded place in natural order, and what a file system can carry of its name."""
    order = sorted(set(labels), key=natural)
    width = max(3, len(str(len(order) - 1)))
    return {label: f"{place:0{width}d}_{_safe(label)}" for place, label in enumerate(order)}


def _places(kept: Sequence[Entry]) -> list[str]:
    """Where each of the kept pictures lies in `images`."""
    names = folders([e.label for e in kept])
    return [f"{names[e.label]}/{e.image_id}{e.print.suffix or '.png'}" for e in kept]


def write(done: Decisions, pictures: Pictures, out: Path) -> None:
    """Lay the kept pictures out under `out`/images, in folders by label, and write manifest, ledger and audit.

    A file whose own bytes are a plain picture keeps them; anything else is written as PNG.
    """
    kept = {k: e for k, e in enumerate(done.entries) if e.status == "kept"}
    places = dict(zip(kept, _places(list(kept.values())), strict=True))
    with files.fresh_folder(out / "images") as folder:
        for name in {place.partition("/")[0] for place in places.values()}:
            (folder / name).mkdir()
        for k, entry in progress(kept.items(), desc="lay out"):
            if entry.print.suffix:
                (folder / places[k]).write_bytes(pictures.content(k))
            else:
                pictures.picture(k).image.save(folder / places[k], "PNG", compress_level=1)
    rows = [
        dict(zip(MANIFEST, (e.image_id, f"images/{places[k]}", e.label, e.print.width, e.print.height, e.group_id),
                 strict=True))
        for k, e in sorted(kept.items(), key=lambda item: (natural(item[1].label), item[1].image_id))
    ]  # fmt: skip
    files.write_rows(out / "manifest.csv", MANIFEST, rows)
    named = any(e.hint for e in done.entries)  # a study without groups of its own has no such column
    columns = (*LEDGER, "group") if named else LEDGER
    ledger = [_ledger_row(e) | ({"group": e.hint} if named else {}) for e in done.entries]
    files.write_rows(out / "ledger.csv", columns, ledger)
    files.write_json(out / "audit.json", audit(done, pictures.clean))


def audit(done: Decisions, clean: Clean) -> dict[str, Any]:
    """The numbers of a run; raises AssertionError where a row was lost."""
    entries = done.entries
    status = Counter(e.status for e in entries)
    if status["kept"] + status["duplicate"] + status["quarantined"] != len(entries):
        raise AssertionError(f"rows were lost: {dict(status)} of {len(entries)}")
    each = Counter((e.label, e.status) for e in entries)
    labels = sorted({e.label for e in entries}, key=natural)
    return {
        "files": len(entries),
        "kept": status["kept"],
        "duplicate": status["duplicate"],
        "quarantined": status["quarantined"],
        "reasons": {
            s: dict(sorted(Counter(e.reason for e in entries if e.status == s and e.reason).items()))
            for s in ("kept", "duplicate", "quarantined")
        },
        "classes": {name: {s: each[name, s] for s in ("kept", "duplicate", "quarantined")} for name in labels},
        "label_conflicts": len(done.conflicts),
        "groups": sum(sum(entries[k].status == "kept" for k in g) > 1 for g in done.groups),
        "pairs": dict(sorted(Counter(p.verdict for p in done.pairs).items())),
        **({"by_hand": done.by_hand} if done.by_hand else {}),
        "links_cut": [[_name(entries[p.a]), _name(entries[p.b])] for p in done.cut],
        "duplicates": clean.duplicates,
        "libraries": {"pillow": PIL.__version__, "opencv": cv2.__version__, "imagehash": imagehash.__version__},
    }


def _name(entry: Entry) -> str:
    return entry.image_id or entry.path


def _ledger_row(entry: Entry) -> dict[str, str]:
    box = f"box {' '.join(map(str, entry.box))}" if entry.box else ""
    detail = "; ".join(filter(None, [entry.detail, box]))
    fate = entry.status, entry.reason, detail, entry.image_id, entry.duplicate_of
    return dict(zip(LEDGER, (entry.path, entry.print.sha256, entry.label, *fate), strict=True))


def _safe(label: str) -> str:
    """Letters, digits, `_`, `.`, `+`, `-`; at most 60 bytes; no two folders differ in case alone."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", label).casefold()).strip("._") or "label"
    return name.encode()[:60].decode(errors="ignore")
