"""Source `uecfood256`: the data set of Kawano and Yanai (2014) as its archive unpacks, 256 folders with boxes.

Layout: `<n>/<image id>.jpg`, `<n>/bb_info.txt` (header `img x1 y1 x2 y2`, a line for each box), `category.txt`
(`id<TAB>name`). Line ends are mixed, lines can be blank, two classes share a name, and one
photo can stand in several folders.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core.errors import UserError
from stages.ingest import folder
from stages.ingest.entry import HIDDEN, Entry, printable
from stages.ingest.labels import at_level
from stages.ingest.params import Folder

if TYPE_CHECKING:
    from stages.ingest.params import Uecfood256

WHERE = (
    "fetch UECFOOD256 from the Food Image Recognition page of the University of Electro-Communications, and unzip it"
)


def bring(params: Uecfood256, target: Path) -> list[Entry]:
    """Copy the tree; label by class id and name, group by image id, one row per image or per box.

    Raises:
        UserError: it is not that layout, or category.txt lacks a class.
    """
    source = Path(params.path)
    if not (source / "category.txt").is_file():
        raise UserError(f"`ingest.path` is {source}, which has no category.txt; {WHERE}")
    names = _categories(source / "category.txt")
    brought = {entry.path: entry for entry in folder.bring(Folder(source="folder", path=params.path), target)}
    entries = []
    known = cache(_boxes)
    for path, entry in brought.items():
        number, image = at_level(path, 1), Path(path).stem
        is_image = entry.problem != HIDDEN and Path(path).suffix.lower() == ".jpg" and number.isdecimal()
        if not is_image:
            entries.append(Entry(path, entry.file, "", "uecfood256", problem=entry.problem))
            continue
        if number not in names:
            raise UserError(f"{source / 'category.txt'} has no line for the class {number}, whose folder is there")
        label = f"{number} {names[number]}"
        in_folder = source / path.partition("/")[0] / "bb_info.txt"
        found: list[str] = known(in_folder).get(image, []) if params.boxes == "crop" else [""]
        entries += [Entry(path, entry.file, label, "uecfood256", image, box, entry.problem) for box in found]
        if not found:
            entries.append(Entry(path, "", label, "uecfood256", group=image, problem="box_missing"))
    return entries


def _categories(path: Path) -> dict[str, str]:
    """Class id to name. `splitlines` takes every kind of line end; a comma belongs to the name unless it ends it."""
    names = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        number, _, name = line.strip().rstrip(",").partition("\t")
        if number.strip().isdecimal():
            names[number.strip()] = name.strip()
    if not names:
        raise UserError(f"{path} has no line `id<TAB>name`; {WHERE}")
    return names


def _boxes(path: Path) -> dict[str, list[str]]:
    """Image id to its boxes, as `x1 y1 x2 y2`, in the order of the file."""
    boxes = defaultdict(list)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        fields = [field for field in re.split(r"[\s,]+", line) if field]
        if len(fields) == 5 and all(re.fullmatch(r"\d+", field) for field in fields[1:]):
            boxes[fields[0]].append(printable(" ".join(fields[1:])))
    return boxes
