"""The one exception for what a user can put right, and the shell that prints it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class UserError(Exception):
    """Something the user can put right; the message names the file or key, the reason and the way out."""


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main` and exit: 0 done, 1 an error said in words, 130 interrupted.

    A `UserError` is printed as one sentence, a full or read-only disk too; anything else is a bug and keeps its
    traceback. A polite kill (SIGTERM) is treated as Ctrl-C, so that both leave the same, resumable state.
    """
    if sys.getfilesystemencoding() != "utf-8":  # under an old locale, names of files and so labels would change
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\ninterrupted: nothing half-written is left; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        traceback.print_exc()
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(
            f"error: {error.strerror or error}{where}: free the space or the path, then run the same command again"
        )
