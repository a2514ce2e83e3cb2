"""The stage, from data/raw to data/clean and reports/clean: label folders, manifest, ledger, audit, sheets."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagehash
import PIL

from stages.clean import match, sheets
from stages.clean.curation import fit, summary
from stages.clean.decide import Decisions, Entry, decide
from stages.clean.decode import Refused
from stages.clean.describe import NOT_READ, Job, Print
from stages.clean.opencv import cv2
from stages.clean.pictures import CACHE, Pictures
from stages.core import curation, files, intact
from stages.core.console import progress, say
from stages.core.curation import natural
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.clean.decode import Box
    from stages.clean.params import Clean, SmallClasses
    from stages.core.curation import Decision

LEDGER = ("path", "sha256", "label", "status", "reason", "detail", "image_id", "duplicate_of")
MANIFEST = ("image_id", "path", "label", "width", "height", "group_id")
_UNSAFE = re.compile(r"[^\w.+-]+")
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
    jobs, entries = read(raw, published, by_hand)
    pictures = Pictures(jobs, clean, cache_file)
    for entry, known in zip(entries, pictures.prints, strict=True):
        _admit(entry, known)
    done = _decided(entries, pictures, small, by_hand)
    write(done, pictures, out)
    sheets.write(done, pictures, report)
    if not any(e.status == "kept" for e in entries):
        raise UserError(
            f"{raw / 'manifest.csv'}: none of {len(entries)} files could be kept; {out / 'ledger.csv'} says why"
        )
    counts = Counter(e.status for e in entries)
    say(
        f"clean: {len(entries)} files: {counts['kept']} kept, {counts['duplicate']} duplicates, "
        f"{counts['quarantined']} quarantined; {len(done.pairs)} pairs were compared"
    )
    if done.cut:
        say(
            f"clean: {len(done.cut)} similar pairs were not joined: their groups together would have more than "
            f"clean.match.max_group = {clean.match.max_group} pictures"
        )
    return done


def read(
    raw: Path, published: Sequence[str | list[str]], by_hand: Sequence[Decision]
) -> tuple[list[Job | Refused], list[Entry]]:
    """What is to be described, or why it cannot be, and what becomes of each, for every row in order."""
    wanted = {one.path for one in by_hand if one.decision in ("keep", "relabel")}
    jobs: list[Job | Refused] = []
    entries: list[Entry] = []
    for row in _rows(raw):  # nothing else of the rows stays in memory
        box = _box(row)
        lenient = curation.name(row["path"], box) in wanted
        jobs.append(_fault(row, box) or Job(f"{raw}/{row['file']}", box, lenient))
        entries.append(_entry(row, box, published))
    return jobs, entries


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
    """The sorted rows of the manifest, which may come from elsewhere: what it names lies where ingest puts files."""
    rows = files.read_rows(raw / "manifest.csv")
    rows.sort(key=lambda r: (natural(r["path"]), natural(r["box"]), r["label"]))
    for row in rows:
        if row["file"]:
            intact.inside(raw / "manifest.csv", "files", row["file"])
    return rows


def _box(row: dict[str, str]) -> Box | None:
    """The box of a row; None where it has none, or one that is no box."""
    if not re.fullmatch(r"[0-9]{1,9}( [0-9]{1,9}){3}", row["box"]):
        return None
    x1, y1, x2, y2 = map(int, row["box"].split())
    return x1, y1, x2, y2


def _fault(row: dict[str, str], box: Box | None) -> Refused | None:
    """Why the row names no picture, if it does not."""
    if row["problem"]:
        return Refused(row["problem"], "not brought in by ingest")
    if not row["file"]:
        return Refused("unreadable", "ingest brought no file")
    if row["box"] and not box:
        return Refused("bad_box", f"{row['box'][:100]!r} is no box; it is four whole numbers of at most 9 digits")
    return None


def _entry(row: dict[str, str], box: Box | None, published: Sequence[str | list[str]]) -> Entry:
    inside = [
        row["path"].startswith(part.rstrip("/") + "/") if isinstance(part, str) else row["group"] in part
        for part in published
    ]
    rank = inside.index(True) if any(inside) else len(published)
    return Entry(row["path"], sys.intern(row["label"]), sys.intern(row["group"]), box, NOT_READ, rank=rank)


def _admit(entry: Entry, known: Print) -> None:
    entry.print = known
    if known.refused:
        entry.refuse(known.reason, known.detail)
    elif known.forced:
        entry.refuse(*known.forced.split(": ", 1))
    elif not entry.label:
        entry.refuse("label_missing", "no label stands on it")
    else:
        entry.status, entry.reason, entry.detail = "kept", known.reason, known.detail


def folders(labels: Sequence[str]) -> dict[str, str]:
    """Folder of each label: its zero-padded place in natural order, and what a file system can carry of its name."""
    order = sorted(set(labels), key=natural)
    width = max(3, len(str(len(order) - 1)))
    return {label: f"{place:0{width}d}_{_safe(label)}" for place, label in enumerate(order)}


def write(done: Decisions, pictures: Pictures, out: Path) -> None:
    """Lay the kept pictures out under `out`/images, in folders by label, and write manifest, ledger and audit.

    A file whose own bytes are a plain picture keeps them; anything else is written as PNG.
    """
    kept = {k: e for k, e in enumerate(done.entries) if e.status == "kept"}
    names = folders([e.label for e in kept.values()])
    places = {k: f"{names[e.label]}/{e.image_id}{e.print.suffix or '.png'}" for k, e in kept.items()}
    with files.fresh_folder(out / "images") as folder:
        for name in names.values():
            (folder / name).mkdir()
        for k, entry in progress(kept.items(), desc="lay out"):
            if entry.print.suffix:
                (folder / places[k]).write_bytes(pictures.content(k))
            else:
                pictures.picture(k).image.save(folder / places[k], "PNG", compress_level=1)
    place = {label: natural(label) for label in names}
    order = sorted(kept, key=lambda k: (place[kept[k].label], kept[k].image_id))
    files.write_rows(out / "manifest.csv", MANIFEST, (_manifest_row(kept[k], f"images/{places[k]}") for k in order))
    named = any(e.source_group for e in done.entries)  # a study without groups of its own has no such column
    ledger = (_ledger_row(e) | ({"group": e.source_group} if named else {}) for e in done.entries)
    files.write_rows(out / "ledger.csv", (*LEDGER, *["group"] * named), ledger)
    files.write_json(out / "audit.json", audit(done, pictures.clean))


def _manifest_row(entry: Entry, path: str) -> dict[str, object]:
    size = entry.print.width, entry.print.height
    return dict(zip(MANIFEST, (entry.image_id, path, entry.label, *size, entry.group_id), strict=True))


def audit(done: Decisions, clean: Clean) -> dict[str, Any]:
    """The numbers of a run."""
    entries = done.entries
    fates = ("kept", "duplicate", "quarantined")
    status = Counter(e.status for e in entries)
    each = Counter((e.label, e.status) for e in entries)
    labels = sorted({e.label for e in entries}, key=natural)
    return {
        "files": len(entries),
        **{s: status[s] for s in fates},
        "reasons": {
            s: dict(sorted(Counter(e.reason for e in entries if e.status == s and e.reason).items())) for s in fates
        },
        "classes": {name: {s: each[name, s] for s in fates} for name in labels},
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
