"""Label folders, pictures, manifest, ledger and audit under data/clean."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

import PIL

from stages.clean import decode, verify
from stages.clean.decide import Decisions, Entry, natural
from stages.clean.fingerprint import content
from stages.core import files
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.clean.params import Clean

LEDGER = ("path", "sha256", "label", "status", "reason", "detail", "image_id", "duplicate_of")
MANIFEST = ("image_id", "path", "label", "width", "height", "group_id")
_UNSAFE = re.compile(r"[^\w.+-]+")


def folders(labels: Sequence[str]) -> dict[str, str]:
    """Folder of each label: its zero-padded place in natural order, and what a file system can carry of its name."""
    order = sorted(set(labels), key=natural)
    width = max(3, len(str(len(order) - 1)))
    return {label: f"{place:0{width}d}_{_safe(label)}" for place, label in enumerate(order)}


def write_images(entries: Sequence[Entry], raw: Path, out: Path, clean: Clean) -> list[int]:
    """Lay the kept pictures out under `out`/images, in folders by label.

    A file whose own bytes are a plain picture keeps them; anything else is written as PNG.

    Returns:
        Positions of entries whose file is no longer what was fingerprinted; nothing was written then.
    """
    names = folders([e.label for e in entries if e.status == "kept"])
    changed: list[int] = []
    with files.fresh_folder(out / "images") as folder:
        places = {label: folder / name for label, name in names.items()}
        for place in places.values():
            place.mkdir()
        for k, entry in enumerate(progress(entries, desc="lay out")):
            if entry.status != "kept":
                continue
            try:
                data = content(f"{raw}/{entry.file}", entry.print)
            except decode.Refused:
                changed.append(k)
                continue
            if not changed:
                target = places[entry.label] / f"{entry.image_id}{entry.print.suffix or '.png'}"
                target.write_bytes(data if entry.print.suffix else _png(data, entry, clean))
    return changed


def write_tables(done: Decisions, out: Path, audit: dict[str, Any]) -> None:
    """Write manifest.csv, ledger.csv and audit.json."""
    entries = done.entries
    kept = sorted((e for e in entries if e.status == "kept"), key=lambda e: (natural(e.label), e.image_id))
    names = folders([e.label for e in kept])
    files.write_rows(
        out / "manifest.csv",
        MANIFEST,
        [
            {
                "image_id": e.image_id,
                "path": f"images/{names[e.label]}/{e.image_id}{e.print.suffix or '.png'}",
                "label": e.label,
                "width": e.print.width,
                "height": e.print.height,
                "group_id": e.group_id,
            }
            for e in kept
        ],
    )
    files.write_rows(out / "ledger.csv", LEDGER, [_ledger_row(e) for e in entries])
    files.write_json(out / "audit.json", audit)


def audit(done: Decisions, clean: Clean) -> dict[str, Any]:
    """The numbers of a run; raises AssertionError where a row was lost."""
    entries = done.entries
    status = Counter(e.status for e in entries)
    if status["kept"] + status["duplicate"] + status["quarantined"] != len(entries):
        raise AssertionError(f"rows were lost: {dict(status)} of {len(entries)}")
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
        "classes": {
            name: {
                s: sum(e.label == name and e.status == s for e in entries) for s in ("kept", "duplicate", "quarantined")
            }
            for name in labels
        },
        "label_conflicts": len(done.conflicts),
        "groups": sum(sum(entries[k].status == "kept" for k in g) > 1 for g in done.groups),
        "pairs": dict(sorted(Counter(p.verdict for p in done.pairs).items())),
        "links_refused_by_max_group": done.capped,
        **({"compared_by_local_features": done.described} if done.described else {}),
        "duplicates": clean.duplicates,
        "libraries": {"pillow": PIL.__version__, "registration": verify.METHOD},
    }


def _ledger_row(entry: Entry) -> dict[str, str]:
    box = f"box {' '.join(map(str, entry.box))}" if entry.box else ""
    return {
        "path": entry.path,
        "sha256": entry.print.sha256,
        "label": entry.label,
        "status": entry.status,
        "reason": entry.reason,
        "detail": "; ".join(filter(None, [entry.detail, box])),
        "image_id": entry.image_id,
        "duplicate_of": entry.duplicate_of,
    }


def _png(data: bytes, entry: Entry, clean: Clean) -> bytes:
    again = decode.decode_truncated if entry.print.reason == "truncated" else decode.decode
    buffer = io.BytesIO()
    again(data, clean, entry.box).image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _safe(label: str) -> str:
    """Letters, digits, `_`, `.`, `+`, `-`; at most 60 bytes; no two folders differ in case alone."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", label).casefold()).strip("._") or "label"
    return name.encode()[:60].decode(errors="ignore")
