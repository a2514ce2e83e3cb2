"""Contact sheets, a figure and tables for whoever wants to see why a picture was dropped."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from stages.clean.compare import Evidence, Proof
from stages.clean.small import Whole
from stages.core import files
from stages.core.curation import natural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.clean.decide import Decisions, Entry
    from stages.clean.match import Pair
    from stages.clean.pictures import Pictures

TILE, CAPTION, COLUMNS = 112, 38, 10  # px, px, tiles in a row
PAGE, PAGES = 16, 4  # groups on a sheet, sheets; the least certain first
BORDERLINE = 40  # pairs
SHOWN = 50  # classes of the overview, the largest
GROUPS = ("group", "path", "label", "status", "reason", "detail", "image_id", "duplicate_of")
FIGURES = (*Evidence.__dataclass_fields__, *(f"whole_{n}" for n in Whole.__dataclass_fields__),
           *(f"proof_{n}" for n in Proof.__dataclass_fields__))  # fmt: skip
PAIRS = ("verdict", "a", "b", "by", "turned", *FIGURES)
COLOURS = {"kept": "#1a7f37", "duplicate": "#9a6700", "quarantined": "#cf222e"}
BEFORE, AFTER = "#c9d1d9", "#0969da"
_FONT = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"  # comes with matplotlib: the same on every machine


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet, by its position, and what is said under it."""

    place: int
    lines: tuple[str, ...]


def write(done: Decisions, pictures: Pictures, report: Path) -> None:
    """Write the folder `report`.

    groups.csv, pairs.csv (the same, the similar and the nearest misses), classes.csv, duplicates-N.png, borderline.png,
    quarantined.png and overview.png; a sheet that would show nothing is left out.
    """
    near = _borderline(done.pairs)
    entries = done.entries
    with files.fresh_folder(report) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save = partial(_save, entries=entries, pictures=pictures)
        _tables(done, near, folder)
        groups = _by_doubt(done)
        for page in range(min(PAGES, -(-len(groups) // PAGE))):
            rows = [_group_row(entries, members) for members in groups[page * PAGE : (page + 1) * PAGE]]
            save(rows, folder / f"duplicates-{page + 1}.png")
        shown = [_pair_tiles(entries, p) for p in near]
        half = COLUMNS // 2
        save(
            [[tile for pair in shown[k : k + half] for tile in pair] for k in range(0, len(shown), half)],
            folder / "borderline.png",
        )
        out = [Tile(k, (e.reason, *_lines(e))) for k, e in enumerate(entries) if e.status == "quarantined"]
        out = out[: PAGE * COLUMNS]
        save([out[k : k + COLUMNS] for k in range(0, len(out), COLUMNS)], folder / "quarantined.png")
        before, after = _counts([e for e in entries if e.label])
        sizes = [(e.print.width, e.print.height) for e in entries if e.status == "kept"]
        _overview(before, after, sizes, folder / "overview.png")


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
    grouped = [{"group": number} | {c: getattr(e, c) for c in GROUPS[1:]} for number, e in rows]
    files.write_rows(folder / "groups.csv", GROUPS, grouped)
    shown = [p for p in done.pairs if p.verdict != "different"] + [p for p in near if p.verdict == "different"]
    shown.sort(key=lambda p: (p.verdict, -p.strength, p.a, p.b))
    files.write_rows(folder / "pairs.csv", PAIRS, [_pair_row(entries, p) for p in shown])
    labels = sorted({e.label for e in entries if e.label}, key=natural)
    before, after = _counts(entries)
    files.write_rows(folder / "classes.csv", ("label", "before", "after"), [
        {"label": name, "before": before[name], "after": after[name]} for name in labels])  # fmt: skip


def _pair_row(entries: Sequence[Entry], pair: Pair) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(PAIRS)
    row |= {"verdict": pair.verdict, "a": entries[pair.a].path, "b": entries[pair.b].path}
    row |= {"by": pair.by, "turned": pair.turned}
    parts = (("whole_", pair.whole), ("proof_", pair.proof), ("", None if pair.whole else pair.evidence))
    for prefix, found in parts:
        if found is not None:
            row |= {prefix + k: round(v, 4) for k, v in asdict(found).items()}
    return row


def _counts(entries: Sequence[Entry]) -> tuple[Counter[str], Counter[str]]:
    return Counter(e.label for e in entries), Counter(e.label for e in entries if e.status == "kept")


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
    more = len(ordered) - COLUMNS
    return [*row[:-1], Tile(row[-1].place, (f"and {more} more", *row[-1].lines[1:]))] if more > 0 else row


def _lines(entry: Entry) -> tuple[str, str]:
    folder, _, name = entry.path.rpartition("/")
    return name[-18:], (entry.reason if entry.status != "quarantined" and entry.reason else folder)[-18:]


def _pair_tiles(entries: Sequence[Entry], pair: Pair) -> list[Tile]:
    how = f"{pair.strength:.2f} {pair.turned}"[:18]
    return [
        Tile(pair.a, (pair.verdict, how, entries[pair.a].label[-18:])),
        Tile(pair.b, (f"by {pair.by}", f"{pair.evidence.inliers} inliers", entries[pair.b].label[-18:])),
    ]


def _save(rows: list[list[Tile]], target: Path, entries: Sequence[Entry], pictures: Pictures) -> None:
    """Draw a sheet; none where there is nothing to show."""
    if not rows:
        return
    font = ImageFont.truetype(_FONT, 10)
    sheet = Image.new("RGB", (TILE * max(len(row) for row in rows), (TILE + CAPTION) * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            entry = entries[tile.place]
            at = (x * TILE, y * (TILE + CAPTION))
            sheet.paste(_picture(tile.place, entry, pictures), at)
            text = "\n".join(map(_legible, tile.lines))
            draw.multiline_text((at[0] + 3, at[1] + TILE), text, COLOURS[entry.status], font, spacing=1)
    # 256 colours do for thumbnails: these files live in git
    sheet.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(target)


def _picture(place: int, entry: Entry, pictures: Pictures) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), "white")
    if entry.print.refused:
        ImageDraw.Draw(tile).rectangle((6, 6, TILE - 7, TILE - 7), outline="#cf222e")
        return tile
    image = Image.fromarray(pictures.thumb(place))
    scale = (TILE - 6) / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    image = image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BILINEAR)
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return tile


@cache
def _drawn() -> frozenset[int]:
    return frozenset(FT2Font(str(_FONT)).get_charmap())


def _legible(line: str) -> str:
    """The line with what the font lacks, or what cannot be printed, escaped as Python does."""
    able = (c if c.isprintable() and ord(c) in _drawn() else c.encode("unicode_escape").decode() for c in line)
    return "".join(able)[-22:]


def _overview(before: Counter[str], after: Counter[str], sizes: Sequence[tuple[int, int]], target: Path) -> None:
    """Images per class before and after, and the sizes of what was kept."""
    names = sorted(sorted(before, key=lambda name: -before[name])[:SHOWN], key=natural)[::-1]
    figure = Figure(figsize=(9.6, 1.2 + 0.22 * max(len(names), 10)), dpi=100, layout="constrained")
    bars, dots = figure.subplots(1, 2)
    shown = [_legible(name).replace("$", r"\$") for name in names]
    rows = range(len(names))
    bars.barh(rows, [before[name] for name in names], color=BEFORE)
    bars.barh(rows, [after[name] for name in names], color=AFTER)
    bars.set_yticks(rows, shown)
    more = "" if len(before) <= SHOWN else f", the largest {SHOWN} of {len(before)}"
    bars.set_title(f"images per class, before and after{more}", fontsize="medium")
    dots.scatter([w for w, _ in sizes], [h for _, h in sizes], s=6, color=AFTER)
    if sizes:
        dots.set(xscale="log", yscale="log")
    dots.set_title(f"width and height of {len(sizes)} kept images, px", fontsize="medium")
    figure.savefig(target, metadata={"Software": None})
