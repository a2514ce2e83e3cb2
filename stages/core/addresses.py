"""Addresses as they may be shown and published."""

from __future__ import annotations

import re
from urllib.parse import unquote

LONGEST = 2048  # characters of an address that are shown
# User and password; also a password with a slash or a question mark in it, which then stands where a port should.
_USER = re.compile(r"^((?:[A-Za-z][\w+.-]*:)?/*)(?:[^/?#]*@|[^/?#\[]*:(?!\d*(?:[/?#]|$)).*@)", re.DOTALL)
_SECRET = re.compile(
    r"token|key|secret|sig|pass|pwd|phrase|auth|cred|sess|sid|jwt|bearer|access|code|hash|hmac|digest|nonce|otp|policy|"
    r"ticket|user|login|mail|account|private|cookie|csrf|xsrf|saml|assert|grant|(?<![a-z])(pin|pw|psk|pat)(?![a-z])",
    re.I,
)


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
