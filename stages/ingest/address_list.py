"""The list of a scrape: a CSV with the columns url, label and sha256."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stages.core.errors import UserError
from stages.ingest import table_file

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("url", "label", "sha256")


def read(path: Path) -> list[dict[str, str]]:
    """The rows of the list, each with all three columns, and `problem`: why it cannot be used.

    Raises:
        UserError: there is no list, or it is none that can be read whole.
    """
    if not path.is_file():
        raise UserError(f"`ingest.path` is {path}, which is not here; name a CSV with the columns url, label, sha256")
    table = table_file.lines(table_file.utf8(path, str(path)), str(path))
    names = [name.strip().lower() for name in table[0]] if table else []
    if missing := set(COLUMNS) - set(names):
        raise UserError(f"{path} lacks the column {', '.join(sorted(missing))}; it needs url, label and sha256")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise UserError(f"{path} has two columns {twice[0]}; remove one, or give it another name")
    if not table[1:]:
        raise UserError(f"{path} names no address; give it a row for every picture")
    rows = []
    for fields in table[1:]:
        found = dict(zip(names, map(str.strip, fields), strict=False))
        row = {column: found.get(column, "") for column in COLUMNS}
        row["problem"] = "" if re.fullmatch("(?i)([0-9a-f]{64})?", row["sha256"]) else "not_a_sha256"
        if any(map(str.strip, fields[len(names) :])):
            row["problem"] = table_file.TOO_MANY  # a comma in the address, say
        rows.append(row)
    return rows
