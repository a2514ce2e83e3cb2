"""Stage `ingest`: bring the source into data/raw as it is, with a reason in manifest.csv for each file left out.

Nothing is judged here: whether a file is an image is for `clean` to say. Every entry of the source gets a row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import console, files, folders
from stages.core.errors import UserError
from stages.core.labels import alike, with_unseen
from stages.ingest import archive, cifar10, digits, folder, labels, uecfood256, urls
from stages.ingest.entry import COLUMNS, HIDDEN, hidden_part
from stages.ingest.params import Archive, Folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.ingest.entry import Entry
    from stages.ingest.params import Ingest

RAW = Path("data/raw")
_SOURCES: dict[str, Callable[[Any, Path], list[Entry]]] = {
    "digits": digits.bring, "folder": folder.bring, "archive": archive.bring, "cifar10": cifar10.bring,
    "uecfood256": uecfood256.bring, "urls": urls.bring,
}  # fmt: skip
_HINTS = {
    HIDDEN: ", of systems and programs; `ingest.hidden: true` brings them in",
    "link_leads_out": ", links to files outside of `ingest.path`; `ingest.links_out: true` follows them",
}


def ingest(source: Ingest, *, published: bool = False) -> list[Entry]:
    """Fill data/raw from the source: whole, or not at all.

    Args:
        source: the section `ingest`.
        published: whether `split` takes a part as it was published; for what is said alone.

    Returns:
        A row for every entry of the source, sorted by path.

    Raises:
        UserError: the source is missing, of the wrong kind or empty.
    """
    with files.fresh_folder(RAW) as raw:
        rows = sorted(_bring(source, raw / "files"), key=lambda entry: entry.path)
        if not rows:
            raise UserError(f"{source.path} holds no files; `ingest.path` must lead to the pictures")
        files.write_rows(raw / "manifest.csv", COLUMNS, map(asdict, rows))
    _tell(rows)
    for note in folders.notes([(row.path, row.label) for row in rows if row.file and row.label], published=published):
        console.say(note)
    return rows


def _tell(rows: list[Entry]) -> None:
    """Say which files and classes were not brought in."""
    problems = Counter(entry.problem for entry in rows if entry.problem)
    console.say(f"{len(rows)} files, {problems.total()} of them not brought in" + (":" if problems else ""))
    for problem, number in sorted(problems.items()):
        console.say(f"  {number} {problem}{_HINTS.get(problem, '')}")
    if named := Counter(hidden_part(entry.path) for entry in rows if entry.problem == HIDDEN):
        first = ", ".join(f"{with_unseen(name)} ({number})" for name, number in named.most_common(5))
        console.say(f"  hidden are {first}{' and others' if len(named) > 5 else ''}")
    for same in alike({entry.label for entry in rows if entry.label}):
        console.say(f"the labels {', '.join(map(with_unseen, same))} look the same, but are separate classes")
    whole = {entry.label for entry in rows if entry.file}
    for label in sorted({entry.label for entry in rows if entry.label} - whole):
        console.say(f"nothing of the label {label!r} could be brought in: there will be no such class")


def _bring(source: Ingest, target: Path) -> list[Entry]:
    target.mkdir()
    entries = _SOURCES[source.source](source, target)
    return labels.give(entries, source, target.parent) if isinstance(source, Folder | Archive) else entries
