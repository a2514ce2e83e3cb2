"""`data/curation.csv`: decisions of a person about pictures. `curate` writes it, `clean` applies it.

A picture is named by its path in the source; one that is a box in a file has `#xywh=x,y,width,height` behind the path.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import files, intact, labels
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path("data/curation.csv")
COLUMNS = ("path", "sha256", "decision", "value", "reason", "who", "when", "seen")
PICTURE, PAIR = ("drop", "keep", "relabel"), ("not_same", "together")
_DIGEST = "[0-9a-f]{64}"
_NUMBER = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Decision:
    """A row of the file.

    path: of the picture. sha256: of its file; of a pair, that of the path and that of the value, with a space between.
    decision: drop, keep, relabel, not_same or together. value: the new label, or the other picture of a pair.
    reason: in the person's words. who, when: no stage reads them. seen: the first 16 digits of the SHA-256 of the
    metrics.json that lay in `reports` when the decision was made, test figures included; empty if there was none.
    """

    path: str
    sha256: str
    decision: str
    value: str = ""
    reason: str = ""
    who: str = ""
    when: str = ""
    seen: str = ""

    @property
    def subject(self) -> tuple[str, ...]:
        """The one picture, or the two, that it is about: each has one decision."""
        return (self.path, self.value) if self.decision in PAIR else (self.path,)


def name(path: str, box: tuple[int, int, int, int] | None) -> str:
    """The name of a picture in the file."""
    return f"{path}#xywh={box[0]},{box[1]},{box[2] - box[0]},{box[3] - box[1]}" if box else path


def pair(decision: str, one: tuple[str, str], other: tuple[str, str], **more: str) -> Decision:
    """A decision on two pictures, each a name and a SHA-256; their order does not matter."""
    (path, digest), (value, second) = sorted((one, other))
    return Decision(path, f"{digest} {second}", decision, value, **more)


def read(path: Path = FILE) -> list[Decision]:
    """All decisions, in a stable order; none where there is no file.

    Raises:
        UserError: a row is no decision, or two rows decide differently on the same picture.
    """
    if not path.exists():
        return []
    found: dict[tuple[str, ...], Decision] = {}
    for number, row in _rows(path):
        one = Decision(**row)
        if one.decision == "relabel":
            one = replace(one, value=labels.tidy(one.value))
        if one.decision in PAIR and len(digests := one.sha256.split(" ")) == 2:
            more = {key: getattr(one, key) for key in ("reason", "who", "when", "seen")}
            one = pair(one.decision, (one.path, digests[0]), (one.value, digests[1]), **more)
        if fault := _fault(one):
            raise UserError(f"{path}: line {number} ({one.path!r}) {fault}; mend the line or remove it")
        known = found.setdefault(one.subject, one)
        if (known.sha256, known.decision, known.value) != (one.sha256, one.decision, one.value):
            raise UserError(
                f"{path}: line {number} says of {one.path!r}: {said(one)}; another row: {said(known)}; keep one of them"
            )
    return _ordered(found.values())


def _text(path: Path) -> str:
    """The text of the file. Its errors ask the user to mend it, since git may not have these decisions yet."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # a spreadsheet puts a mark in front
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as CSV in UTF-8") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line == "=======" or line.startswith(("<<<<<<< ", "||||||| ", ">>>>>>> ")):
            raise UserError(
                f"{path}: line {number} is a mark of a merge conflict; keep one of the two sides, or the rows of both, "
                "and remove the marks"
            )
    return text


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows, each with the line that it ends in."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header, *rows = [(reader.line_num, row) for row in reader if any(row)] or [(1, [])]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} is no CSV ({error}); mend the line or remove it") from None
    names = header[1]
    if lacking := [column for column in COLUMNS if column != "seen" and column not in names]:
        hint = "save it as CSV with commas between the columns" if len(names) == 1 else "put the names back"
        raise UserError(f"{path}: the first row does not name {', '.join(lacking)}; {hint}: {','.join(COLUMNS)}")
    found = []
    for number, row in rows:
        if len(row) != len(names):
            words = f"has {len(row)} fields, the first row {len(names)}"
            raise UserError(f"{path}: line {number} {words}; mend the line or remove it")
        fields = dict(zip(names, map(intact.unescaped, row), strict=True))
        found.append((number, {column: fields.get(column, "") for column in COLUMNS}))
    return found


def write(decisions: Iterable[Decision], path: Path = FILE) -> None:
    """Write the file whole, in a stable order, so that `git diff` shows the decisions."""
    files.write_rows(path, COLUMNS, map(asdict, _ordered(decisions)))


def said(one: Decision) -> str:
    """The decision in words."""
    return {
        "drop": "drop", "keep": "keep", "relabel": f"relabel to {one.value!r}",
        "not_same": f"not the same as {one.value!r}", "together": f"belongs together with {one.value!r}",
    }[one.decision]  # fmt: skip


def _fault(one: Decision) -> str:
    """Why a row is no decision; empty if it is one."""
    if one.decision not in PICTURE + PAIR:
        return f"has the decision {one.decision!r}, which is none of {', '.join(PICTURE + PAIR)}"
    if not one.path:
        return "names no picture"
    if not re.fullmatch(f"{_DIGEST} {_DIGEST}" if one.decision in PAIR else _DIGEST, one.sha256):
        return "has no SHA-256 of its file" if one.decision in PICTURE else "needs the SHA-256 of both its files"
    if one.decision in PAIR and (not one.value or one.value == one.path):
        return "names no other picture"
    if one.decision == "relabel" and (fault := labels.fault(one.value)):
        return f"has a new label that {fault}"
    return "has a value, but needs none" if one.decision in ("drop", "keep") and one.value else ""


def _ordered(decisions: Iterable[Decision]) -> list[Decision]:
    return sorted(decisions, key=lambda one: (natural(one.path), len(one.subject), one.value))


def natural(text: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sort key in natural order: digits as numbers, letters without case, Unicode forms alike."""
    found = _NUMBER.split(unicodedata.normalize("NFC", text).casefold())
    # words, the first of them perhaps empty, and numbers, of any length, take turns
    return [(len(d := part.lstrip("0")), d) if k % 2 else part for k, part in enumerate(found)], text
