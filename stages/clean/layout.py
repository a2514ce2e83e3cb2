"""Label folders, pictures, manifest, ledger and audit under data/clean."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

import PIL

from stages.clean import decode, verify
from stages.clean.cache import Cache, key
from stages.clean.decide import Decisions, Entry, natural
from stages.clean.fingerprint import Job, content, identity, read
from stages.core import files, intact
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from stages.clean.params import Clean
    from stages.clean.thumbs import Reader

LEDGER = ("path", "sha256", "label", "status", "reason", "detail", "image_id", "duplicate_of")
MANIFEST = ("image_id", "path", "label", "width", "height", "group_id")
_VERSION = 1  # raise it when the PNG of the same picture changes
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


def write_images(
    entries: Sequence[Entry], raw: Path, out: Path, clean: Clean, cache: Cache, reader: Reader
) -> list[int]:
    """Lay the kept pictures out under `out`/images, in folders by label.

    A file whose own bytes are a plain picture keeps them; anything else is written as PNG. Where just these files lie
    there already, byte for byte, they stay.

    Returns:
        Positions of entries whose file is no longer what was fingerprinted; nothing was written then.
    """
    kept = {k: e for k, e in enumerate(entries) if e.status == "kept"}
    places = dict(zip(kept, _places(list(kept.values())), strict=True))
    written = {k: key("png", _VERSION, PIL.__version__, identity(Job("", e.box), e.print.sha256, clean))
               for k, e in kept.items() if not e.print.suffix}  # fmt: skip
    sums = cache.get(list(written.values()))
    wanted = {places[k]: sums.get(written[k]) if k in written else e.print.sha256 for k, e in kept.items()}
    if _lie_there(out / "images", wanted):
        return []
    changed: list[int] = []
    with files.fresh_folder(out / "images") as folder:
        for name in {place.partition("/")[0] for place in places.values()}:
            (folder / name).mkdir()
        for k, entry in progress(kept.items(), desc="lay out"):
            try:
                data = content(f"{raw}/{entry.file}", entry.print, reader)
            except decode.Refused:
                changed.append(k)
                continue
            if not changed:
                if k in written:
                    data = _png(data, entry, clean)
                    sums[written[k]] = hashlib.sha256(data).hexdigest()
                _write(f"{folder}/{places[k]}", data)
    cache.put((name, sums[name]) for name in written.values() if name in sums)
    return changed


def _lie_there(folder: Path, wanted: Mapping[str, str | None]) -> bool:
    """Whether a folder holds just these files, with these SHA-256 sums; None: not known."""
    if None in wanted.values() or not folder.is_dir():
        return False
    there: set[str] = set()
    with contextlib.suppress(decode.Refused, OSError):
        for place in folder.iterdir():
            inside = {f"{place.name}/{file.name}" for file in place.iterdir()}
            if not inside or not inside <= wanted.keys():
                return False
            there |= inside
        same = (hashlib.sha256(read(f"{folder}/{name}")).hexdigest() == value for name, value in wanted.items())
        return len(there) == len(wanted) and all(same)
    return False


def _write(path: str, data: bytes) -> None:
    """A new file; in half the time that `Path.write_bytes` takes for a small one."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def write_tables(done: Decisions, out: Path, audit: dict[str, Any]) -> None:
    """Write manifest.csv, ledger.csv and audit.json."""
    entries = done.entries
    kept = sorted((e for e in entries if e.status == "kept"), key=lambda e: (natural(e.label), e.image_id))
    rows = [
        (e.image_id, f"images/{place}", e.label, e.print.width, e.print.height, e.group_id)
        for e, place in zip(kept, _places(kept), strict=True)
    ]
    _write_table(out / "manifest.csv", MANIFEST, rows)
    _write_table(out / "ledger.csv", LEDGER, map(_ledger_row, entries))
    files.write_json(out / "audit.json", audit)


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
        "links_refused_by_max_group": done.capped,
        **({"compared_by_local_features": done.described} if done.described else {}),
        "duplicates": clean.duplicates,
        "libraries": {"pillow": PIL.__version__, "registration": verify.METHOD},
    }


def _ledger_row(entry: Entry) -> tuple[str, ...]:
    box = f"box {' '.join(map(str, entry.box))}" if entry.box else ""
    detail = "; ".join(filter(None, [entry.detail, box]))
    fate = entry.status, entry.reason, detail, entry.image_id, entry.duplicate_of
    return entry.path, entry.print.sha256, entry.label, *fate


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> None:
    """What `files.write_rows` writes of text and whole numbers, without looking for what has to be rounded."""
    with files.atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([intact.escaped(field) for field in row] for row in rows)


def _png(data: bytes, entry: Entry, clean: Clean) -> bytes:
    again = decode.decode_truncated if entry.print.reason == "truncated" else decode.decode
    buffer = io.BytesIO()
    again(data, clean, entry.box).image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _safe(label: str) -> str:
    """Letters, digits, `_`, `.`, `+`, `-`; at most 60 bytes; no two folders differ in case alone."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", label).casefold()).strip("._") or "label"
    return name.encode()[:60].decode(errors="ignore")
