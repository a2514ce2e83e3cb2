"""Regular expressions of a user, on names of files: bounded in time, since params.yaml may come from anybody."""

from __future__ import annotations

import contextlib
import re
import signal
from typing import TYPE_CHECKING

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST = 500  # characters of a pattern
SECONDS = 10.0  # of computing on all names together; 100,000 names take less than one


def check(pattern: str, group: str) -> str:
    """The pattern, if it can be used; else a `ValueError` with the fault, as pydantic wants it."""
    if len(pattern) > LONGEST:
        raise ValueError(f"it has {len(pattern):,} characters, more than {LONGEST}")
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no regular expression ({error})") from None
    if group not in groups:
        raise ValueError(f"it has no group named `{group}`; write `(?P<{group}>...)` around what names the {group}")
    return pattern


def found(key: str, pattern: str, group: str, names: Sequence[str]) -> list[str]:
    """The text of the named group in each name, empty where the pattern does not match.

    The whole name is matched where the pattern can, else the first place that fits.

    Raises:
        UserError: the pattern takes too long, or matches none of the names.
    """
    regex = re.compile(pattern)
    with _deadline(f"`{key}` takes more than {SECONDS:g} s of computing on {len(names):,} names; a repetition within a "
                   "repetition, as in `(a+)+`, is the usual cause: write it without"):  # fmt: skip
        hits = [regex.fullmatch(name) or regex.search(name) for name in names]
    if names and not any(hits):
        raise UserError(f"`{key}` is {pattern}, which matches none of {len(names):,} names; the first is {names[0]!r}")
    return [(hit[group] or "") if hit else "" for hit in hits]


@contextlib.contextmanager
def _deadline(message: str) -> Iterator[None]:
    """Python looks for signals while it matches, so that a timer can end what would take years."""

    def stop(*_: object) -> None:
        raise UserError(message)

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
