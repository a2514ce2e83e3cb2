"""The exception for errors that a user can put right, and the function that runs a stage and prints them."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING

from stages.core import console

if TYPE_CHECKING:
    from collections.abc import Callable


class UserError(Exception):
    """Something the user can put right; the message names the file or key, the reason and the way out.

    Names from files stand in it: what would move the cursor of a terminal, or begin a line, is shown as an escape.
    `fault` is the message without `advice`, for a caller whose settings have other keys.
    """

    def __init__(self, fault: str, advice: str = "") -> None:
        self.fault = fault
        super().__init__(console.shown(f"{fault}; {advice}" if advice else fault, keep=""))


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main` and exit: 0 done, 1 an error said in words, 130 interrupted.

    A `UserError` is printed as one sentence, and so is what the disk refuses. Where anything else goes wrong and a file
    is not what an earlier stage left, that file is named; else it is a bug, and keeps its traceback. A polite kill
    (SIGTERM) is treated as Ctrl-C, so that both leave the same, resumable state.
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
    except MemoryError as error:
        words = f" ({said})" if (said := " ".join(str(error).split())[:200]) else ""
        sys.exit(f"error: this machine has not enough memory{words}; free some, or lower what params.yaml asks for")
    except OSError as error:
        if error.errno not in _DISK:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror}; {_DISK[error.errno]}, then run the same command again")
    except Exception as error:
        from stages.core import intact

        changed = intact.unlike_lock()
        if not changed:
            raise
        path, stage = changed[0]
        words = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        sys.exit(f"error: {path} is not what the stage left ({words}); `dvc repro {stage}` makes it again")


_DISK = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space in your quota",
    errno.EROFS: "make its disk writable",
    errno.EACCES: "give yourself permission to read and write it",
    errno.EPERM: "give yourself permission to read and write it",
    errno.ENOENT: "bring it back (`dvc repro` or `dvc pull`)",
    errno.EISDIR: "remove the folder of that name",
    errno.ENOTDIR: "remove the file that stands in the place of a folder",
    errno.EIO: "look at its disk",
}
