"""`python -m stages.verify.mend`: what a kill of DVC itself has cut is made whole again, for the study of this folder.

DVC 3 writes two files in place: `.dvc/tmp/rwlock` some twenty times for each stage, and `dvc.lock` after each. Killed
in that moment it leaves them cut, and refuses them from then on. All else it writes beside and renames, as we do.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

from stages.core import errors, files
from stages.core.console import say
from stages.verify.scratch import Place

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK = Path("dvc.lock")
_PATIENCE = 0.5  # s; a file that a living DVC is writing is whole again by then
_STAGE = re.compile(r"^(?=  \S)", re.MULTILINE)  # where the entry of a stage begins


def main() -> None:
    """Mend what is cut; says what it did, and nothing where nothing was."""
    here = Path().resolve()
    root = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)
    reserved = root / ".dvc/tmp/rwlock"
    if reserved.exists() and not _whole(reserved, _json):
        reserved.unlink()
        say(f"{reserved}: DVC was killed while it wrote this; removed, it named what running processes use")
    if LOCK.exists() and not _whole(LOCK, _valid):
        committed = Place(here, ".").git("show", f"HEAD:./{LOCK}", check=False)  # empty where there is none
        kept = mended(LOCK.read_text(errors="ignore"), committed)
        if kept:
            with files.atomic(LOCK) as partial:
                partial.write_text(kept)
        else:
            LOCK.unlink()
        count = len(_entries(kept))
        say(f"{LOCK}: DVC was killed while it wrote this; {count} stages are known of, `dvc repro` runs the others")


def mended(cut: str, committed: str) -> str:
    """A lock file of what the cut one still says in full, and of what the committed one says of other stages.

    Entries that are no longer true do no harm: DVC compares each with what lies here.
    """
    told = _entries(cut)
    told = dict(list(told.items())[:-1])  # nothing says that the last one is whole
    entries = told | {name: text for name, text in _entries(committed).items() if name not in told}
    text = "schema: '2.0'\nstages:\n" + "".join(entries.values())
    return text if entries and _valid(text) else committed


def _entries(text: str) -> dict[str, str]:
    """What a lock file says of each stage, by the line that begins it."""
    return {part.partition("\n")[0]: part for part in _STAGE.split(text) if part.startswith("  ")}


def _whole(path: Path, readable: Callable[[str], bool]) -> bool:
    """Whether a file can be read as DVC does it, now or in a moment."""
    for wait in (0.0, _PATIENCE):
        time.sleep(wait)
        if readable(path.read_text(errors="replace")):
            return True
    return False


def _valid(text: str) -> bool:
    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(text) or None)
    except (YAMLError, Invalid):
        return False
    return True


def _json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


if __name__ == "__main__":
    errors.run(main)
