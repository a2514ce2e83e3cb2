"""The stage, from data/raw to data/clean and reports/clean."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from stages.clean import decode, fingerprint, layout, match, parts, sheets
from stages.clean.cache import FILE as CACHE
from stages.clean.cache import Cache
from stages.clean.decide import Decisions, Entry, decide, natural
from stages.clean.fingerprint import Fingerprint, Job
from stages.clean.thumbs import Reader
from stages.core import files
from stages.core.console import say
from stages.core.errors import UserError

if TYPE_CHECKING:
    from stages.clean.params import Clean

RAW, OUT, REPORT = Path("data/raw"), Path("data/clean"), Path("reports/clean")


def run(
    clean: Clean, raw: Path = RAW, out: Path = OUT, report: Path = REPORT, cache_file: Path | None = CACHE
) -> Decisions:
    """Clean `raw` into `out`, pictures of what was done into `report`."""
    rows = files.read_rows(raw / "manifest.csv")
    rows.sort(key=lambda r: (natural(r["path"]), natural(r["box"]), r["label"]))
    changed: set[int] = set()
    with contextlib.closing(Cache(cache_file)) as cache:
        while True:
            reader = Reader(clean)
            done = _decide(rows, raw, clean, changed, cache, reader)
            late = layout.write_images(done.entries, raw, out, clean, cache, reader)
            if not late:
                break
            changed.update(late)
        layout.write_tables(done, out, layout.audit(done, clean))
        sheets.write(done, raw, report, clean, cache, reader)
    if not any(e.status == "kept" for e in done.entries):
        raise UserError(
            f"{raw / 'manifest.csv'}: none of {len(rows)} files could be kept; {out / 'ledger.csv'} says why"
        )
    counts = Counter(e.status for e in done.entries)
    say(
        f"clean: {len(rows)} files: {counts['kept']} kept, {counts['duplicate']} duplicates, "
        f"{counts['quarantined']} quarantined; {len(done.pairs)} pairs were looked at"
    )
    if done.capped:
        say(f"clean: {done.capped} links were not made: they would chain more than clean.match.max_group pictures")
    return done


def _decide(
    rows: list[dict[str, str]], raw: Path, clean: Clean, changed: set[int], cache: Cache, reader: Reader
) -> Decisions:
    boxes = [_box(row) for row in rows]
    reads = [k for k, row in enumerate(rows) if not row["problem"] and row["file"]]
    jobs = [Job(f"{raw}/{row['file']}", box) for row, box in zip(rows, boxes, strict=True)]
    found = fingerprint.fingerprints([jobs[k] for k in reads], clean, cache, reader)
    known = dict(zip(reads, found, strict=True))
    entries = [_entry(row, boxes[k], known.get(k), k in changed) for k, row in enumerate(rows)]
    _settle_looks(entries, raw, clean, cache, reader)

    first: dict[str, int] = {}
    for k, entry in enumerate(entries):
        if entry.usable:
            first.setdefault(entry.pixels, k)
    use = sorted(first.values())
    prints = [e.print for e in entries]
    look = match.Looker(prints, jobs, clean, reader)
    pairs = match.pairs(use, prints, look, clean, cache)
    pairs, described = parts.add(pairs, use, prints, look, clean, cache)
    done = decide(entries, pairs, clean)
    done.described = described
    return done


def _settle_looks(entries: list[Entry], raw: Path, clean: Clean, cache: Cache, reader: Reader) -> None:
    """Equal pictures look equal; where different files do, only their pixels tell."""
    same: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.usable:
            entry.pixels = entry.print.look
            same[entry.print.look].append(entry)
    for alike in same.values():
        if len({(e.print.sha256, e.box) for e in alike}) > 1:
            for entry in alike:
                with contextlib.suppress(decode.Refused):  # laying out will notice that the file has changed
                    job = Job(f"{raw}/{entry.file}", entry.box)
                    entry.pixels = fingerprint.pixel_hash(job, entry.print, clean, cache, reader)


def _box(row: dict[str, str]) -> decode.Box | None:
    if not row["box"]:
        return None
    x1, y1, x2, y2 = (int(float(v)) for v in row["box"].split())
    return x1, y1, x2, y2


def _entry(row: dict[str, str], box: decode.Box | None, print_: Fingerprint | None, changed: bool) -> Entry:
    known = print_ or Fingerprint("")
    entry = Entry(row["path"], row["file"], row["label"], row["source"], row["group"], box, known)
    if row["problem"]:
        entry.refuse(row["problem"], "not brought in by ingest")
    elif print_ is None:
        entry.refuse("unreadable", "ingest brought no file")
    elif known.refused:
        entry.refuse(known.reason, known.detail)
    elif changed:
        entry.refuse("changed", "the file changed while it was read")
    elif not row["label"]:
        entry.refuse("label_missing", "no label stands on it")
    else:
        entry.status, entry.reason, entry.detail = "kept", known.reason, known.detail
    return entry
