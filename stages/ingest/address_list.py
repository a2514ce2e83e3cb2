"""The list of a scrape: a CSV with the columns url, label and sha256."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from stages.core.errors import UserError
from stages.ingest import table_file

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 2048  # characters of an address that are shown
COLUMNS = ("url", "label", "sha256")
# User and password; also a password with a slash or a question mark in it, which then stands where a port should.
_USER = re.compile(r"^((?:[A-Za-z][\w+.-]*:)?/*)(?:[^/?#]*@|[^/?#\[]*:(?!\d*(?:[/?#]|$)).*@)", re.DOTALL)
_SECRET = re.compile(
    r"token|key|secret|sig|pass|pwd|phrase|auth|cred|sess|sid|jwt|bearer|access|code|hash|hmac|digest|nonce|otp|policy|"
    r"ticket|user|login|mail|account|private|cookie|csrf|xsrf|saml|assert|grant|(?<![a-z])(pin|pw|psk|pat)(?![a-z])",
    re.I,
)


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
    at = [names.index(column) for column in COLUMNS]
    rows = []
    for fields in table[1:]:
        row = {column: fields[i].strip() if i < len(fields) else "" for column, i in zip(COLUMNS, at, strict=True)}
        problem = "" if re.fullmatch("(?i)([0-9a-f]{64})?", row["sha256"]) else "not_a_sha256"  # a comma in the address
        rows.append(row | {"problem": table_file.TOO_MANY if any(map(str.strip, fields[len(names) :])) else problem})
    return rows


def without_secrets(url: str) -> str:
    """The address as it may be published: without user and password, and without values that may be keys."""
    if len(url) > LONGEST:
        return f"{without_secrets(url[:LONGEST])}... ({len(url)} characters)"
    url = re.sub(r"://[^/\s]*@", "://", _USER.sub(r"\1", url))
    address, mark, rest = re.match(r"([^?#]*)([?#]?)(.*)", url, re.DOTALL).groups()  # type: ignore[union-attr]
    address = re.sub(r"(;[^=/;]*=)[^/;]*", r"\1***", address)
    address = re.sub(r"[^/]+=[^/]*", lambda found: _harmless(found[0]), address)
    return address + mark + re.sub(r"[^&;?#]+", lambda found: _harmless(found[0]), rest)


def _harmless(part: str) -> str:
    name, equals, value = part.partition("=")
    if len(name) > 32 or (not equals and _SECRET.search(unquote(part)) and re.search(r"[=:]", unquote(part))):
        return "***"
    plain, inner = unquote(unquote(name)), unquote(unquote(value))  # `%74oken`; some servers decode twice
    pairs = re.search(r"[=:{]", inner) and _SECRET.search(inner)
    return (
        f"{name}{equals}***" if value and (_SECRET.search(plain) or pairs or len(value) >= 32 or "@" in inner) else part
    )
