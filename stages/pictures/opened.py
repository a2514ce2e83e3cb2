"""A picture of data/clean, opened; an error names its file and the command that mends it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from PIL import Image

from stages.core import files
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The picture at `path`, to be decoded within the block.

    Raises:
        UserError: the file is missing or no picture.
    """
    try:
        with Image.open(path) as picture:
            yield picture
    except FileNotFoundError:
        raise files.missing(path) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be decoded ({error}); run `dvc repro -f clean`") from error
