"""`python -m stages.predict PICTURE...`: what the network that won says about pictures."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import console, errors, params
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

_M_ARENA_MAX = -8  # of malloc.h


def main() -> None:
    """Predict the pictures of the command line."""
    from stages.predict import champion, output

    parser = argparse.ArgumentParser(prog="python -m stages.predict", description=__doc__)
    parser.add_argument("images", nargs="+", help="pictures, folders, @list.txt, or - for a list on standard input")
    parser.add_argument("--study", type=Path, default=Path(), help="the folder of the study (this folder)")
    champion.add_arguments(parser)
    parser.add_argument("--top", type=int, default=3, help="how many labels for each picture (3)")
    parser.add_argument("--format", choices=output.FORMATS, help="table on a terminal, else csv")
    parser.add_argument("--out", type=Path, help="a file to write to, instead of standard output")
    parser.add_argument(
        "--unlike", type=float, default=0.05, help="share of validation pictures that may be called unlike (0.05)"
    )
    arguments = parser.parse_args()
    if arguments.top < 1 or not 0 <= arguments.unlike < 1:
        parser.error("--top must be at least 1, --unlike at least 0 and below 1")
    run(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Load the networks, predict, write; what cannot be read is named and does not end the run.

    Raises:
        UserError: there is nothing to predict, or nothing to predict with.
    """
    _share_memory()
    from stages.clean import pictures as cleaned
    from stages.clean.params import Clean
    from stages.predict import champion, model, output, pictures

    here, files = Path.cwd(), pictures.paths(arguments.images)
    with _opened(arguments.out) as file, contextlib.chdir(arguments.study):
        study = params.read()
        ensemble = model.Ensemble.trained(*champion.asked(study, arguments.variant, arguments.seed), arguments.unlike)
        clean = params.section(Clean, study.raw["clean"], "clean")
        top = min(arguments.top, len(ensemble.classes))
        paths = [here / path for path in files]
        decoded = pictures.decoded(paths, ensemble.size, ensemble.resize, clean, cleaned.workers(clean))
        bar = console.progress(zip(files, decoded, strict=True), total=len(files), desc="predict", unit="picture")
        kind = arguments.format or ("table" if file.isatty() else "csv")
        counts = output.write(output.rows(bar, ensemble, top), kind, top, file)
    count, share = len(ensemble.members), f"{1 - arguments.unlike:.0%} of the validation pictures"
    most = f" for most of the {count} networks" if count > 1 else ""
    console.say(
        f"{len(files)} files, {counts['problem']} of them not read; {counts['unlike']} pictures unlike anything in "
        f"training. A picture is called unlike if{most} its largest logit is lower than those of {share}. This finds "
        "only some of them"
    )


def _share_memory() -> None:
    """Let all threads of this process share one heap, before any library starts a thread.

    By default glibc gives each thread a heap of its own and returns its large blocks to the kernel at once. Two threads
    that predict side by side then take as long as one. Other systems have no such switch, and nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is there whole or not at all."""
    from stages.core import files

    how = "backslashreplace"  # names of files that are no text
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=how)
        yield sys.stdout
        return
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file in it")
    # A device or a pipe is written to in place, and a link stays a link.
    whole = path.is_file() or not path.exists()
    place = files.atomic(path.resolve()) if whole else contextlib.nullcontext(path)
    with contextlib.ExitStack() as stack:
        try:
            target = stack.enter_context(place)
            file = stack.enter_context(target.open("w", encoding="utf-8", newline="", errors=how))
        except OSError as error:
            raise UserError(f"cannot write {path} ({error.strerror}); name another file with --out") from None
        yield file


if __name__ == "__main__":
    errors.run(main)
