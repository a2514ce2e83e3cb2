"""`python -m stages.clean`: clean data/raw into data/clean; `-v` names every file that is not kept."""

from __future__ import annotations

import argparse

from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import errors, params
from stages.core.console import say


def main() -> None:
    """Clean data/raw with the section `clean` of params.yaml."""
    parser = argparse.ArgumentParser(prog="python -m stages.clean", description=__doc__)
    parser.add_argument("-v", "--verbose", action="store_true", help="name every file that is not kept, and why")
    arguments = parser.parse_args()
    done = run(params.section(Clean, params.read().raw["clean"], "clean"))
    if arguments.verbose:
        for entry in done.entries:
            if entry.status != "kept":
                say(f"{entry.path!r}: {entry.status}, {entry.reason}: {entry.detail}")


errors.run(main)
