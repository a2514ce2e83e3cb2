"""Labels and other text of users as plain text in Markdown: in the report, in cards and in certificates."""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup


def markdown(value: object) -> object:
    """Text as it is in Markdown: no tag, link, picture, emphasis, code or column comes of it, and it stays on its line.

    An underscore within a word (`cnn_bn`) means nothing in Markdown and stays.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = on_one_line(value)
    line = re.sub(
        r"[\\`*\[\]|~$]|<(?=[A-Za-z/!?])|&(?=[#\w])|^>|^[#+-]+(?=\s|$)|^(?=(?:=+|-+)$)|(?<![^\W_])_|_(?![^\W_])",
        r"\\\g<0>",
        text.lstrip(),
    )
    line = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)  # no item of a list
    line = (" " if text[:1].isspace() else "") + line  # no code, which four spaces make
    # GitHub makes links of bare addresses, also in the middle of a word. A backslash keeps a web address text. In a
    # mail address it does not; an invisible comment does.
    line = re.sub(r"(?i)(https?|ftp)(?=://)|(?<=www)(?=\.)", r"\g<0>\\", line)
    return re.sub(r"(?<=\S)@(?=\S)", "<!-- -->@", line)


def on_one_line(text: str) -> str:
    """Text with escapes for line breaks and invisible characters."""
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )
