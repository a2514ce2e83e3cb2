"""Contact sheets and tables for whoever wants to see why a picture was dropped."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from stages.clean import decode
from stages.clean.decide import natural
from stages.clean.fingerprint import read
from stages.core import files

if TYPE_CHECKING:
    from pathlib import Path

    from stages.clean.decide import Decisions, Entry
    from stages.clean.params import Clean

TILE, CAPTION, COLUMNS, ROWS = 120, 40, 10, 14
GROUPS = ("group", "path", "label", "status", "reason", "detail", "image_id", "duplicate_of")
COLOURS = {"kept": "#1a7f37", "duplicate": "#9a6700", "quarantined": "#cf222e"}


def write(done: Decisions, raw: Path, report: Path, clean: Clean) -> None:
    """Write groups.csv, classes.csv and duplicates.png into the folder `report`."""
    entries = done.entries
    with files.fresh_folder(report) as folder:
        files.write_rows(
            folder / "groups.csv",
            GROUPS,
            [
                {
                    "group": number,
                    "path": e.path,
                    "label": e.label,
                    "status": e.status,
                    "reason": e.reason,
                    "detail": e.detail,
                    "image_id": e.image_id,
                    "duplicate_of": e.duplicate_of,
                }
                for number, members in enumerate(done.groups)
                for e in (entries[k] for k in members)
            ],
        )
        labels = sorted({e.label for e in entries if e.label}, key=natural)
        files.write_rows(
            folder / "classes.csv",
            ("label", "before", "after"),
            [
                {
                    "label": name,
                    "before": sum(e.label == name for e in entries),
                    "after": sum(e.label == name and e.status == "kept" for e in entries),
                }
                for name in labels
            ],
        )
        rows = [[entries[k] for k in members] for members in done.groups]
        if rows:
            _sheet(rows[:ROWS], raw, clean).save(folder / "duplicates.png")


def _sheet(rows: list[list[Entry]], raw: Path, clean: Clean) -> Image.Image:
    width = TILE * max(len(row[:COLUMNS]) for row in rows)
    sheet = Image.new("RGB", (width, (TILE + CAPTION) * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(10)
    for y, row in enumerate(rows):
        for x, entry in enumerate(row[:COLUMNS]):
            at = (x * TILE, y * (TILE + CAPTION))
            sheet.paste(_tile(entry, raw, clean), at)
            lines = [entry.status, entry.label[:20], entry.path.rpartition("/")[2][-20:]]
            draw.multiline_text((at[0] + 3, at[1] + TILE), "\n".join(lines), COLOURS[entry.status], font, spacing=1)
    return sheet


def _tile(entry: Entry, raw: Path, clean: Clean) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), "white")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = decode.decode(read(raw / entry.file), clean, entry.box).image
        except decode.Refused:
            return tile
    image.thumbnail((TILE - 6, TILE - 6))
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return tile
