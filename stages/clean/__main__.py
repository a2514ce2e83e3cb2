"""`python -m stages.clean`: clean data/raw into data/clean; `-v` names every file that is not kept."""

from __future__ import annotations

import argparse

from stages.clean.params import Clean, SmallClasses
from stages.clean.run import run
from stages.core import curation, errors, params
from stages.core.console import say


def main() -> None:
    """Clean data/raw with the section `clean` of params.yaml."""
    parser = argparse.ArgumentParser(prog="python -m stages.clean", description=__doc__)
    parser.add_argument("-v", "--verbose", action="store_true", help="name every file that is not kept, and why")
    arguments = parser.parse_args()
    raw = params.read().raw
    clean, small = params.section(Clean, raw["clean"], "clean"), SmallClasses.of(raw["ingest"])
    done = run(clean, published=_published(raw["split"]), small=small, by_hand=curation.read())
    if arguments.verbose:
        for entry in done.entries:
            if entry.status != "kept":
                say(f"{entry.path!r}: {entry.status}, {entry.reason}: {entry.detail}")


def _published(split: object) -> list[str | list[str]]:
    """The folder, or the groups, of the test and validation part, test first; `split` checks what else stands there."""
    parts = [split.get(name) for name in ("test", "val")] if isinstance(split, dict) else []
    found = [part.get("folder") or part.get("groups") for part in parts if isinstance(part, dict)]
    return [part for part in found if part]


if __name__ == "__main__":
    errors.run(main)
