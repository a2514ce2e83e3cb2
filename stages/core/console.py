"""Progress on a terminal, silence elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable


_Item = TypeVar("_Item")


def progress(items: Iterable[_Item] | None = None, **options: Any) -> tqdm[_Item]:
    """A tqdm bar, shown only on a terminal and never in CI."""
    quiet = not sys.stderr.isatty() or bool(os.environ.get("CI"))
    return tqdm(items, disable=quiet, dynamic_ncols=True, **options)  # type: ignore[return-value]


def say(line: str) -> None:
    """One line for whoever watches; results go to files, never here."""
    tqdm.write(line, file=sys.stderr)
