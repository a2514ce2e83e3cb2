"""Files among the results that no stage made, such as a further seed that params.yaml does not list."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from stages.verify.scratch import MADE

if TYPE_CHECKING:
    from pathlib import Path

    from stages.verify import lock
    from stages.verify.result import Check
    from stages.verify.scratch import Place

CELLS = ("results", "runs")  # <variant>/<seed> below


def find(place: Place, scratch: Place, recorded: lock.Lock, away: set[str], found: Check) -> None:
    """Name what lies in the folders of the results and is no output, also what git was told to ignore.

    Args:
        place: the study, where ignored files lie too.
        scratch: its copy, where they do not.
        recorded: dvc.lock.
        away: outputs that live in the DVC cache, to which DVC may link them.
        found: where to say so.
    """
    made = {PurePosixPath(path) for path in recorded.made}
    within = {parent for path in made for parent in path.parents}
    count: dict[PurePosixPath, int] = {}
    for top in MADE:
        for file in sorted(p for p in (place.folder / top).rglob("*") if p.is_file() or p.is_symlink()):
            path = PurePosixPath(file.relative_to(place.folder).as_posix())
            if not made & {path, *path.parents}:
                # The highest folder in which there is nothing else: a whole cell is one line.
                highest = next(p for p in (*reversed(path.parents), path) if p not in within)
                count[highest] = count.get(highest, 0) + (file.name != ".gitignore" or highest != path)
    for path, files in count.items():
        if files:
            found.add(str(path), "different", _words(path, files, recorded, scratch.folder))
    for path in sorted(made):
        if (place.folder / path).is_symlink() and str(path) not in away:
            found.add(str(path), "different", "a link to files elsewhere, not the output of a stage")


def _words(path: PurePosixPath, files: int, recorded: lock.Lock, scratch: Path) -> str:
    words = f"{files} files that no stage of dvc.lock made" if files > 1 else "no stage of dvc.lock made it"
    if path.parts[0] in CELLS and len(path.parts) in (2, 3):
        known = sorted({stage.removeprefix("train@") for stage in recorded.outs if stage.startswith("train@")})
        words += f"; the cells of this study are {', '.join(known)}" if len(known) <= 40 else ""
        words = f"an unlisted cell: {words}"
    return words if (scratch / path).exists() else f"{words}; hidden from git by an ignore rule"
