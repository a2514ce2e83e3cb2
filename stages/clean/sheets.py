"""Contact sheets and tables for whoever wants to see why a picture was dropped."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont, ImageOps

from stages.clean.compare import Evidence, Proof
from stages.clean.small import Whole
from stages.core import files
from stages.core.curation import natural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.clean.decide import Decisions, Entry
    from stages.clean.match import Pair
    from stages.clean.pictures import Pictures

TILE, MARGIN, CAPTION, COLUMNS = 112, 3, 38, 10  # px, px, px, tiles in a row
PAGE, PAGES = 16, 4  # groups on a sheet, sheets; the least certain first
BORDERLINE = 40  # pairs
GROUPS = ("group", "path", "label", "status", "reason", "detail", "image_id", "duplicate_of")
FIGURES = (*Evidence.__dataclass_fields__, *(f"whole_{n}" for n in Whole.__dataclass_fields__),
           *(f"proof_{n}" for n in Proof.__dataclass_fields__))  # fmt: skip
PAIRS = ("verdict", "a", "b", "by", "turned", *FIGURES)
COLOURS = {"kept": "#1a7f37", "duplicate": "#9a6700", "quarantined": "#cf222e"}
_FONT = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"  # comes with matplotlib: the same on every machine
_DRAWN = frozenset(FT2Font(str(_FONT)).get_charmap())


class Tile(NamedTuple):
    """A picture of a sheet, by its position, and what is said under it."""

    place: int
    lines: tuple[str, ...]


def write(done: Decisions, pictures: Pictures, report: Path) -> None:
    """Write the folder `report`.

    groups.csv, pairs.csv (the same, the similar and the nearest misses), classes.csv, duplicates-N.png, borderline.png
    and quarantined.png; a sheet that would show nothing is left out.
    """
    entries, near, groups = done.entries, _borderline(done.pairs), _by_doubt(done)
    pages = range(0, min(len(groups), PAGES * PAGE), PAGE)
    sheets = {
        f"duplicates-{number}": [_group_row(entries, members) for members in groups[start : start + PAGE]]
        for number, start in enumerate(pages, 1)
    }
    sheets["borderline"] = _in_rows([tile for pair in near for tile in _pair_tiles(entries, pair)])
    out = [Tile(k, (e.reason, *_lines(e))) for k, e in enumerate(entries) if e.status == "quarantined"]
    sheets["quarantined"] = _in_rows(out[: PAGE * COLUMNS])
    with files.fresh_folder(report) as folder:
        _tables(done, near, folder)
        for name, rows in sheets.items():
            if rows:
                _drawn(rows, entries, pictures).save(folder / f"{name}.png")


def _in_rows(tiles: list[Tile]) -> list[list[Tile]]:
    return [tiles[k : k + COLUMNS] for k in range(0, len(tiles), COLUMNS)]


def _borderline(pairs: Sequence[Pair]) -> list[Pair]:
    """The weakest similar pairs, then the strongest that were not: what other thresholds would change first.

    Half of the places are for those that were not, where there are so many.
    """
    rest = [p for p in pairs if p.verdict != "same" and p.strength > 0]
    similar = sorted((p for p in rest if p.verdict == "similar"), key=lambda p: (p.strength, p.a, p.b))
    missed = sorted((p for p in rest if p.verdict != "similar"), key=lambda p: (-p.strength, p.a, p.b))
    near = similar[: BORDERLINE - min(BORDERLINE // 2, len(missed))]
    return near + missed[: BORDERLINE - len(near)]


def _tables(done: Decisions, near: Sequence[Pair], folder: Path) -> None:
    entries = done.entries
    rows = [(number, entries[k]) for number, members in enumerate(done.groups) for k in members]
    grouped = [{"group": number} | {name: getattr(e, name) for name in GROUPS[1:]} for number, e in rows]
    files.write_rows(folder / "groups.csv", GROUPS, grouped)
    shown = [p for p in done.pairs if p.verdict != "different"] + [p for p in near if p.verdict == "different"]
    shown.sort(key=lambda p: (p.verdict, -p.strength, p.a, p.b))
    files.write_rows(folder / "pairs.csv", PAIRS, [_pair_row(entries, p) for p in shown])
    before = Counter(e.label for e in entries if e.label)
    after = Counter(e.label for e in entries if e.status == "kept")
    classes = [{"label": name, "before": before[name], "after": after[name]} for name in sorted(before, key=natural)]
    files.write_rows(folder / "classes.csv", ("label", "before", "after"), classes)


def _pair_row(entries: Sequence[Entry], pair: Pair) -> dict[str, object]:
    ends = {"a": entries[pair.a].path, "b": entries[pair.b].path}
    parts = {"whole_": pair.whole, "proof_": pair.proof, "": None if pair.whole else pair.evidence}
    figures = {pre + k: round(v, 4) for pre, found in parts.items() if found for k, v in asdict(found).items()}
    return dict.fromkeys(PAIRS) | {"verdict": pair.verdict, **ends, "by": pair.by, "turned": pair.turned} | figures


def _by_doubt(done: Decisions) -> list[list[int]]:
    """Groups, those held together by the weakest evidence first."""
    home = {k: number for number, members in enumerate(done.groups) for k in members}
    weakest = dict.fromkeys(range(len(done.groups)), 2.0)
    for pair in done.pairs:
        number = home.get(pair.a)
        if pair.verdict != "different" and number is not None and number == home.get(pair.b):
            weakest[number] = min(weakest[number], pair.strength)
    return [done.groups[number] for number in sorted(weakest, key=lambda n: (weakest[n], n))]


def _group_row(entries: Sequence[Entry], members: Sequence[int]) -> list[Tile]:
    ordered = sorted(members, key=lambda k: (entries[k].status != "kept", natural(entries[k].path)))
    row = []
    for k in ordered[:COLUMNS]:
        e = entries[k]
        row.append(Tile(k, (f"{e.status} {e.print.width}x{e.print.height}", *_lines(e))))
    if more := len(ordered[COLUMNS:]):
        row[-1] = Tile(row[-1].place, (f"and {more} more", *row[-1].lines[1:]))
    return row


def _lines(entry: Entry) -> tuple[str, str]:
    folder, _, name = entry.path.rpartition("/")
    return name[-18:], (entry.reason if entry.status != "quarantined" and entry.reason else folder)[-18:]


def _pair_tiles(entries: Sequence[Entry], pair: Pair) -> list[Tile]:
    how = f"{pair.strength:.2f} {pair.turned}"[:18]
    return [
        Tile(pair.a, (pair.verdict, how, entries[pair.a].label[-18:])),
        Tile(pair.b, (f"by {pair.by}", f"{pair.evidence.inliers} inliers", entries[pair.b].label[-18:])),
    ]


def _drawn(rows: list[list[Tile]], entries: Sequence[Entry], pictures: Pictures) -> Image.Image:
    """A sheet in 256 colours, which do for thumbnails; as JPEG of quality 85 it takes 1.3 to 4 times the bytes."""
    font = ImageFont.truetype(_FONT, 10)
    sheet = Image.new("RGB", (TILE * max(map(len, rows)), (TILE + CAPTION) * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            x, y, entry = column * TILE, row * (TILE + CAPTION), entries[tile.place]
            picture = _picture(tile.place, entry, pictures)
            sheet.paste(picture, (x + (TILE - picture.width) // 2, y + (TILE - picture.height) // 2))
            text = "\n".join(map(_legible, tile.lines))
            draw.multiline_text((x + MARGIN, y + TILE), text, COLOURS[entry.status], font, spacing=1)
    return sheet.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def _picture(place: int, entry: Entry, pictures: Pictures) -> Image.Image:
    side = TILE - 2 * MARGIN
    if entry.print.refused:
        return ImageOps.expand(Image.new("RGB", (side - 8, side - 8), "white"), 1, COLOURS[entry.status])
    image = Image.fromarray(pictures.thumb(place))
    scale = side / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BILINEAR)


def _legible(line: str) -> str:
    """The line with what the font lacks, or what cannot be printed, escaped as Python does."""
    able = (c if c.isprintable() and ord(c) in _DRAWN else c.encode("unicode_escape").decode() for c in line)
    return "".join(able)[-22:]
