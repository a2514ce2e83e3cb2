"""The stage, from data/raw to data/clean and reports/clean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.clean import decode, fingerprint, layout, match, sheets
from stages.clean.decide import Decisions, Entry, decide, natural
from stages.clean.fingerprint import Fingerprint, Job
from stages.core import files
from stages.core.errors import UserError

if TYPE_CHECKING:
    from stages.clean.match import Pair
    from stages.clean.params import Clean

RAW, OUT, REPORT = Path("data/raw"), Path("data/clean"), Path("reports/clean")


def run(clean: Clean, raw: Path = RAW, out: Path = OUT, report: Path = REPORT) -> Decisions:
    """Clean `raw` into `out`, pictures of what was done into `report`."""
    rows = files.read_rows(raw / "manifest.csv")
    rows.sort(key=lambda r: (natural(r["path"]), natural(r["box"]), r["label"]))
    changed: set[int] = set()
    while True:
        done = _decide(rows, raw, clean, changed)
        late = layout.write_images(done.entries, raw, out, clean)
        if not late:
            break
        changed.update(late)
    layout.write_tables(done, out, layout.audit(done, clean))
    sheets.write(done, raw, report, clean)
    if not any(e.status == "kept" for e in done.entries):
        raise UserError(
            f"{raw / 'manifest.csv'}: none of {len(rows)} files could be kept; {out / 'ledger.csv'} says why"
        )
    return done


def _decide(rows: list[dict[str, str]], raw: Path, clean: Clean, changed: set[int]) -> Decisions:
    boxes = [_box(row) for row in rows]
    reads = [k for k, row in enumerate(rows) if not row["problem"] and row["file"]]
    jobs = [Job(raw / rows[k]["file"], boxes[k]) for k in reads]
    prints = dict(zip(reads, fingerprint.fingerprints(jobs, clean), strict=True))
    entries = [_entry(row, boxes[k], prints.get(k), k in changed) for k, row in enumerate(rows)]

    first: dict[str, int] = {}
    for k, entry in enumerate(entries):
        if entry.usable:
            first.setdefault(entry.print.pixels, k)
    unique = sorted(first.values())
    everything = [Job(raw / e.file, e.box) for e in entries]

    def look(pairs: list[Pair]) -> list[Pair]:
        return match.compare(pairs, everything, clean)

    proposed = match.candidates([entries[k].print for k in unique], clean.match)
    pairs = look([replace(p, a=unique[p.a], b=unique[p.b]) for p in proposed])
    return decide(entries, [p for p in pairs if p.verdict != "different"], clean, lambda _a, _b: None)


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
