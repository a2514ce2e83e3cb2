"""`python -m stages.clean`: clean data/raw into data/clean; `-v` names every file that is not kept."""

from __future__ import annotations

import argparse
import gc
import sys
import time

from stages.clean import unchanged
from stages.core import errors


def main() -> None:
    """Clean data/raw with the section `clean` of params.yaml, unless nothing has changed since that was done."""
    parser = argparse.ArgumentParser(prog="python -m stages.clean", description=__doc__)
    parser.add_argument("-v", "--verbose", action="store_true", help="name every file that is not kept, and why")
    arguments = parser.parse_args()
    started = time.time_ns()
    if not arguments.verbose and unchanged.since():
        print("clean: nothing has changed since the last run", file=sys.stderr)
        return
    gc.set_threshold(100_000)  # seldom: no picture leaves a cycle behind, and to look for some takes 2 % of the time
    from stages.clean.params import Clean
    from stages.clean.run import run
    from stages.core import params
    from stages.core.console import say

    done = run(params.section(Clean, params.read().raw["clean"], "clean"))
    unchanged.remember(started)
    if arguments.verbose:
        for entry in done.entries:
            if entry.status != "kept":
                say(f"{entry.path!r}: {entry.status}, {entry.reason}: {entry.detail}")
    gc.freeze()  # or Python would go through all objects for cycles before it ends


errors.run(main)
