"""The stage, from data/raw to data/clean and reports/clean."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.clean import layout, match, sheets
from stages.clean.cache import FILE as CACHE
from stages.clean.curation import fit, summary
from stages.clean.decide import Decisions, Entry, decide
from stages.clean.describe import Job, Print
from stages.clean.pictures import Pictures
from stages.core import curation, files
from stages.core.console import say
from stages.core.curation import natural
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.clean.classes import SmallClasses
    from stages.clean.decode import Box
    from stages.clean.params import Clean
    from stages.core.curation import Decision

RAW, OUT, REPORT = Path("data/raw"), Path("data/clean"), Path("reports/clean")


def run(  # noqa: PLR0913, PLR0917
    clean: Clean,
    raw: Path = RAW,
    out: Path = OUT,
    report: Path = REPORT,
    cache_file: Path | None = CACHE,
    published: Sequence[str | list[str]] = (),
    small: SmallClasses | None = None,
    by_hand: Sequence[Decision] = (),
) -> Decisions:
    """Clean `raw` into `out`, pictures of what was done into `report`.

    Args:
        clean: the section of params.yaml.
        raw: what ingest left.
        out: for the pictures, the manifest, the ledger and the audit.
        report: for contact sheets and tables.
        cache_file: prints of pictures that were seen before; None: none are kept.
        published: folders or groups of parts that are held out, the one that must stay whole first (test, validation).
        small: what becomes of classes with few pictures.
        by_hand: what a person decided about pictures.

    Raises:
        UserError: no file could be kept, a label conflict must be settled by the user, or the manifest leads elsewhere.
    """
    rows = _rows(raw)
    rows.sort(key=lambda r: (natural(r["path"]), natural(r["box"]), r["label"]))
    boxes = [_box(row) for row in rows]
    wanted = {one.path for one in by_hand if one.decision in ("keep", "relabel")}
    jobs = [
        Job(f"{raw}/{row['file']}", box, curation.name(row["path"], box) in wanted)
        if row["file"] and not row["problem"] and bool(row["box"]) == bool(box)
        else None
        for row, box in zip(rows, boxes, strict=True)
    ]
    pictures = Pictures(jobs, clean, cache_file)
    entries = [_entry(*of, published) for of in zip(rows, boxes, pictures.prints, strict=True)]
    done = _decided(entries, pictures, small, by_hand)
    layout.write(done, pictures, out)
    sheets.write(done, pictures, report)
    if not any(e.status == "kept" for e in entries):
        raise UserError(
            f"{raw / 'manifest.csv'}: none of {len(rows)} files could be kept; {out / 'ledger.csv'} says why"
        )
    counts = Counter(e.status for e in entries)
    say(
        f"clean: {len(rows)} files: {counts['kept']} kept, {counts['duplicate']} duplicates, "
        f"{counts['quarantined']} quarantined; {len(done.pairs)} pairs were compared"
    )
    if done.cut:
        say(f"clean: {len(done.cut)} links were cut: they would chain more than clean.match.max_group pictures")
    return done


def _decided(
    entries: list[Entry], pictures: Pictures, small: SmallClasses | None, by_hand: Sequence[Decision]
) -> Decisions:
    """Decide; where a person decided too, decide without that first, so that the audit can say what it changed."""
    if not by_hand:
        return decide(entries, match.pairs(_different(entries), pictures), pictures.clean, small)
    before = [replace(entry) for entry in entries]
    hand = fit(entries, by_hand)
    found = match.pairs(_different(before, entries), pictures)
    clean = pictures.clean
    plain = clean.model_copy(update={"label_conflicts": "keep_none"}) if clean.label_conflicts == "fail" else clean
    decide(before, found, plain, small)
    done = decide(entries, found, clean, small, hand)
    done.by_hand = summary(entries, before, hand)
    for *subject, decision, why in done.by_hand["not_applied"]:
        say(f"clean: {curation.FILE}: {decision} of {' and '.join(map(repr, subject))} was not applied: {why}")
    return done


def _different(*lists: Sequence[Entry]) -> list[int]:
    """Of the rows with the same pixels the first, if it holds a picture with a label."""
    first: dict[str, int] = {}
    for k, row in enumerate(zip(*lists, strict=True)):
        if any(entry.usable for entry in row):
            first.setdefault(row[0].print.pixels, k)
    return sorted(first.values())


def _rows(raw: Path) -> list[dict[str, str]]:
    """The rows of the manifest, which may come from elsewhere: what it names lies where ingest puts files."""
    rows = files.read_rows(raw / "manifest.csv")
    for path, file in ((row["path"], row["file"]) for row in rows):
        if file and (not file.startswith("files/") or ".." in file.split("/") or "\0" in file):
            raise UserError(
                f"{raw / 'manifest.csv'}: the file of {path[:200]!r} is {file[:200]!r}, outside of {raw / 'files'}; "
                "make it again with `dvc repro -f ingest`"
            )
    return rows


def _box(row: dict[str, str]) -> Box | None:
    """The box of a row; None where it has none, or one that is no box."""
    if not re.fullmatch(r"[0-9]{1,9}( [0-9]{1,9}){3}", row["box"]):
        return None
    x1, y1, x2, y2 = map(int, row["box"].split())
    return x1, y1, x2, y2


def _entry(row: dict[str, str], box: Box | None, known: Print, published: Sequence[str | list[str]]) -> Entry:
    entry = Entry(row["path"], row["file"], row["label"], row["source"], row["group"], box, known)
    inside = [
        row["path"].startswith(part.rstrip("/") + "/") if isinstance(part, str) else row["group"] in part
        for part in published
    ]
    entry.rank = inside.index(True) if any(inside) else len(published)
    if row["problem"]:
        entry.refuse(row["problem"], "not brought in by ingest")
    elif not row["file"]:
        entry.refuse("unreadable", "ingest brought no file")
    elif row["box"] and not box:
        entry.refuse("bad_box", f"{row['box'][:100]!r} is no box; it is four whole numbers of at most 9 digits")
    elif known.refused:
        entry.refuse(known.reason, known.detail)
    elif known.forced:
        entry.refuse(*known.forced.split(": ", 1))
    elif not row["label"]:
        entry.refuse("label_missing", "no label stands on it")
    else:
        entry.status, entry.reason, entry.detail = "kept", known.reason, known.detail
    return entry
