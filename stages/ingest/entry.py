"""A row of data/raw/manifest.csv, and the names under which files are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import PurePosixPath

from stages.core.seeding import generator

COLUMNS = ("path", "file", "label", "source", "group", "box", "problem")


@dataclass(frozen=True)
class Entry:
    """One entry of the source.

    Attributes:
        path: relative to the source; bytes that are not UTF-8 are written as backslash escapes.
        file: relative to data/raw; empty when it could not be brought in.
        label: empty when the entry lies above the level of the label folders.
        source: the kind of source.
        group: images with the same non-empty value must stay in one split.
        box: `x1 y1 x2 y2` in px, or empty for the whole image.
        problem: why it could not be brought in, as a reason code; empty when it could.
    """

    path: str
    file: str
    label: str
    source: str
    group: str = ""
    box: str = ""
    problem: str = ""

    def row(self) -> dict[str, str]:
        """The entry as a row of the manifest."""
        return asdict(self)


def printable(path: str) -> str:
    """The path as text that UTF-8 can hold: a name from disk may be any bytes."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def label_of(path: str, level: int) -> str:
    """The name of the folder `level` steps below the source, or empty for an entry that lies above it."""
    folders = PurePosixPath(path).parts[:-1]
    return folders[level - 1] if len(folders) >= level else ""


def draw(paths: list[str], fraction: float) -> list[str]:
    """A `fraction` of the files of every folder, at least one each; the same names give the same draw everywhere.

    Args:
        paths: relative to the source, sorted.
        fraction: above 0, up to 1 (all).

    Returns:
        The drawn paths, sorted.
    """
    if fraction == 1:
        return paths
    drawn: list[str] = []
    by_folder = sorted((str(PurePosixPath(path).parent), path) for path in paths)
    for folder, pairs in groupby(by_folder, key=lambda pair: pair[0]):
        files = [path for _, path in pairs]
        # Named by the folder: what else the source holds does not move the draw.
        order = generator(0, f"ingest {printable(folder)}").permutation(len(files))
        drawn += [files[i] for i in order[: max(1, round(fraction * len(files)))]]
    return sorted(drawn)
