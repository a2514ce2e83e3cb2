"""`python -m stages.predict PICTURE...`: what the network that won says about pictures."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.core import console, errors, params
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TextIO

    from stages.predict.model import Ensemble
    from stages.predict.output import Row
    from stages.predict.pictures import Picture

_CHUNK = 256  # pictures in memory


def main() -> None:
    """Predict the pictures of the command line."""
    from stages.predict import output

    parser = argparse.ArgumentParser(prog="python -m stages.predict", description=__doc__)
    parser.add_argument("images", nargs="+", help="pictures, folders, @list.txt, or - for a list on standard input")
    parser.add_argument("--variant", help="a key of `variants`; without it, the champion on validation")
    parser.add_argument("--seed", type=int, help="one network; without it, the networks of all seeds together")
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
    from stages.clean import pictures as cleaned
    from stages.clean.params import Clean
    from stages.predict import model, output, pictures

    study = params.read()
    files = pictures.paths(arguments.images)
    variant, seeds = _asked(study, arguments)
    ensemble = model.Ensemble(variant, seeds, arguments.unlike)
    clean = params.section(Clean, study.raw["clean"], "clean")
    top = min(arguments.top, len(ensemble.classes))
    decoded = pictures.decoded(files, ensemble.size, ensemble.resize, clean, cleaned.workers(clean))
    bar = console.progress(decoded, total=len(files), desc="predict", unit="picture")
    with _opened(arguments.out) as file:
        kind = arguments.format or ("table" if file.isatty() else "csv")
        counts = {"unlike": 0, "problem": 0}
        output.write(_counted(_rows(bar, ensemble, top), counts), kind, top, file)
    console.say(
        f"{len(files)} files, {counts['problem']} of them not read; {counts['unlike']} pictures unlike anything in "
        f"training, by a rule that says so of {arguments.unlike:.0%} of the validation pictures"
    )


def _asked(study: params.Study, arguments: argparse.Namespace) -> tuple[str, list[int]]:
    """The variant and the seeds whose networks predict."""
    from stages.predict import champion

    variant, seed = arguments.variant, arguments.seed
    if variant is None:
        variant, why = champion.choose(study)
        console.say(f"champion: {variant} ({why})")
    elif variant not in study.variants:
        raise UserError(f"params.yaml has no variant {variant!r}; its variants are {', '.join(study.variants)}")
    if seed is not None and seed not in study.seeds:
        raise UserError(f"params.yaml has no seed {seed}; its seeds are {', '.join(map(str, study.seeds))}")
    return variant, study.seeds if seed is None else [seed]


def _rows(pictures: Iterable[Picture], ensemble: Ensemble, top: int) -> Iterator[Row]:
    """One row for each picture, in order; the networks get up to `_CHUNK` pictures at once."""
    waiting: list[Picture] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == _CHUNK:
            yield from _predicted(waiting, ensemble, top)
            waiting.clear()
    yield from _predicted(waiting, ensemble, top)


def _predicted(pictures: Sequence[Picture], ensemble: Ensemble, top: int) -> Iterator[Row]:
    """The rows of some pictures; one that could not be read has its problem and no labels."""
    pixels = [picture.pixels for picture in pictures if picture.pixels is not None]
    predicted = ensemble(np.stack(pixels)) if pixels else None
    place = 0  # of the next readable picture in `predicted`
    for picture in pictures:
        row: Row = {"path": picture.path, "top": [], "unlike": False, "problem": picture.problem}
        if picture.pixels is not None and predicted is not None:
            chances = predicted.probabilities[place]
            best = np.argsort(-chances, kind="stable")[:top]
            row["top"] = [(ensemble.classes[k], float(chances[k])) for k in best]
            row["unlike"] = bool(predicted.unlike[place])
            place += 1
        yield row


def _counted(rows: Iterator[Row], counts: dict[str, int]) -> Iterator[Row]:
    """The same rows; `counts` says afterwards how many were unlike training, and how many had a problem."""
    for row in rows:
        counts["unlike"] += row["unlike"]
        counts["problem"] += bool(row["problem"])
        yield row


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is there whole or not at all."""
    from stages.core import files

    if path is None:
        yield sys.stdout
        return
    with files.atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file


if __name__ == "__main__":
    errors.run(main)
