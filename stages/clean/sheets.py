"""Contact sheets, a figure and tables for whoever wants to see why a picture was dropped."""

from __future__ import annotations

import base64
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import PIL
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from stages.clean import decode, fingerprint, overview
from stages.clean.cache import Cache, key
from stages.clean.decide import natural
from stages.clean.fingerprint import Job, identity
from stages.clean.text import legible
from stages.core import files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.clean.decide import Decisions, Entry
    from stages.clean.match import Pair
    from stages.clean.params import Clean
    from stages.clean.thumbs import Reader

_VERSION = 2  # raise it when a sheet of the same pictures and words changes
TILE, CAPTION, COLUMNS = 112, 38, 10  # px, px, tiles in a row
PAGE, PAGES = 16, 4  # groups on a sheet, sheets; the least certain first
BORDERLINE = 40  # pairs
GROUPS = ("group", "path", "label", "status", "reason", "detail", "image_id", "duplicate_of")
PAIRS = ("verdict", "a", "b", "distance", "orientation", "detail", "worst", "colour", "overlap")
COLOURS = {"kept": "#1a7f37", "duplicate": "#9a6700", "quarantined": "#cf222e"}


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet and what is said under it."""

    entry: Entry
    lines: tuple[str, ...]


def write(done: Decisions, raw: Path, report: Path, clean: Clean, cache: Cache, reader: Reader) -> None:
    """Write the folder `report`.

    groups.csv, pairs.csv (the same, the similar and the nearest misses), classes.csv, duplicates-N.png, borderline.png,
    quarantined.png and overview.png; a sheet that would show nothing is left out.
    """
    near = _borderline(done.pairs)
    entries = done.entries
    with files.fresh_folder(report) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save = partial(_save, raw=raw, clean=clean, cache=cache, reader=reader)
        _tables(done, near, folder)
        groups = _by_doubt(done)
        for page in range(min(PAGES, -(-len(groups) // PAGE))):
            rows = [_group_row(entries, members) for members in groups[page * PAGE : (page + 1) * PAGE]]
            save(rows, folder / f"duplicates-{page + 1}.png")
        pairs = [[Tile(entries[p.a], (p.verdict, _numbers(p), entries[p.a].label)),
                  Tile(entries[p.b], (f"bits {p.distance}", f"overlap {p.evidence.overlap:.2f}", entries[p.b].label))]
                 for p in near]  # fmt: skip
        save(_side_by_side(pairs), folder / "borderline.png")
        out = [Tile(e, (e.reason, *_lines(e.path))) for e in entries if e.status == "quarantined"][: PAGE * COLUMNS]
        save([out[k : k + COLUMNS] for k in range(0, len(out), COLUMNS)], folder / "quarantined.png")
        before, after = _counts([e for e in entries if e.label])
        before = {name: before[name] for name in sorted(before, key=natural)}
        sizes = [(e.print.width, e.print.height) for e in entries if e.status == "kept"]
        overview.draw(before, after, sizes, folder / "overview.png")


def _borderline(pairs: Sequence[Pair]) -> list[Pair]:
    """The similar pairs and those that just were not: what a change of the thresholds would change first."""
    rest = [p for p in pairs if p.verdict != "same" and p.evidence.overlap > 0]
    return sorted(rest, key=lambda p: (-p.evidence.detail, p.a, p.b))[:BORDERLINE]


def _tables(done: Decisions, near: Sequence[Pair], folder: Path) -> None:
    entries = done.entries
    rows = [(number, entries[k]) for number, members in enumerate(done.groups) for k in members]
    grouped = [{"group": number} | {c: getattr(e, c) for c in GROUPS[1:]} for number, e in rows]
    files.write_rows(folder / "groups.csv", GROUPS, grouped)
    shown = [p for p in done.pairs if p.verdict != "different"] + [p for p in near if p.verdict == "different"]
    shown.sort(key=lambda p: (p.verdict, -p.evidence.detail, p.a, p.b))
    files.write_rows(folder / "pairs.csv", PAIRS, [
        {"verdict": p.verdict, "a": entries[p.a].path, "b": entries[p.b].path, "distance": p.distance,
         "orientation": p.orientation, "detail": round(p.evidence.detail, 4), "worst": round(p.evidence.worst, 4),
         "colour": round(p.evidence.colour, 4), "overlap": round(p.evidence.overlap, 4)} for p in shown])  # fmt: skip
    labels = sorted({e.label for e in entries if e.label}, key=natural)
    before, after = _counts(entries)
    files.write_rows(folder / "classes.csv", ("label", "before", "after"), [
        {"label": name, "before": before[name], "after": after.get(name, 0)} for name in labels])  # fmt: skip


def _counts(entries: Sequence[Entry]) -> tuple[dict[str, int], dict[str, int]]:
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for entry in entries:
        before[entry.label] = before.get(entry.label, 0) + 1
        after[entry.label] = after.get(entry.label, 0) + (entry.status == "kept")
    return before, after


def _by_doubt(done: Decisions) -> list[list[int]]:
    """Groups, those held together by the weakest evidence first."""
    home = {k: number for number, members in enumerate(done.groups) for k in members}
    weakest = dict.fromkeys(range(len(done.groups)), 2.0)
    for pair in done.pairs:
        number = home.get(pair.a)
        if pair.verdict != "different" and number is not None and number == home.get(pair.b):
            weakest[number] = min(weakest[number], pair.evidence.detail)
    return [done.groups[number] for number in sorted(weakest, key=lambda n: (weakest[n], n))]


def _group_row(entries: Sequence[Entry], members: Sequence[int]) -> list[Tile]:
    ordered = sorted((entries[k] for k in members), key=lambda e: (e.status != "kept", natural(e.path)))
    more = len(ordered) - COLUMNS
    row = [Tile(e, (f"{e.status} {e.print.width}x{e.print.height}", *_lines(e.path, e))) for e in ordered[:COLUMNS]]
    return [*row[:-1], Tile(row[-1].entry, (f"and {more} more", *row[-1].lines[1:]))] if more > 0 else row


def _lines(path: str, entry: Entry | None = None) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    if entry is not None and entry.reason == "near_duplicate":
        said = entry.detail.partition(": pHash distance ")[2]
        return name[-20:], f"bits {said.partition(',')[0]}, detail {said.partition('detail ')[2][:4]}"
    return name[-20:], (entry.reason if entry is not None and entry.reason else folder)[-20:]


def _numbers(pair: Pair) -> str:
    return f"det {pair.evidence.detail:.2f} col {pair.evidence.colour:.2f}"


def _side_by_side(pairs: list[list[Tile]]) -> list[list[Tile]]:
    in_row = COLUMNS // 2
    return [[tile for pair in pairs[k : k + in_row] for tile in pair] for k in range(0, len(pairs), in_row)]


def _save(rows: list[list[Tile]], target: Path, raw: Path, clean: Clean, cache: Cache, reader: Reader) -> None:
    """Draw a sheet, or take it from the cache where one of the same pictures and words was drawn before."""
    if not rows:
        return
    said = [[legible(tile.lines, 10, TILE - 6) for tile in row] for row in rows]
    shown = [
        [
            (_identity(t.entry, clean), t.entry.status, lines, isinstance(font, FreeTypeFont) and font.getname())
            for t, (lines, font) in zip(*both, strict=True)
        ]
        for both in zip(rows, said, strict=True)
    ]
    name = key("sheet", _VERSION, PIL.__version__, shown)
    if name in (known := cache.get([name])):
        target.write_bytes(base64.b64decode(known[name]))
        return
    sheet = Image.new("RGB", (TILE * max(len(row) for row in rows), (TILE + CAPTION) * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    whole = True
    for y, (row, texts) in enumerate(zip(rows, said, strict=True)):
        for x, (tile, (lines, font)) in enumerate(zip(row, texts, strict=True)):
            at = (x * TILE, y * (TILE + CAPTION))
            picture = _picture(tile.entry, raw, clean, reader)
            if picture is None:
                whole = False
            else:
                sheet.paste(picture, at)
            draw.multiline_text(
                (at[0] + 3, at[1] + TILE), "\n".join(lines), COLOURS[tile.entry.status], font, spacing=1
            )
    # 256 colours do for thumbnails: these files live in git
    sheet.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(target)
    if whole:
        cache.put([(name, base64.b64encode(target.read_bytes()).decode())])


def _identity(entry: Entry, clean: Clean) -> bytes:
    known = entry.print
    return key(identity(Job("", entry.box), known.sha256, clean), known.reason, known.refused)


def _small(entry: Entry, raw: Path, clean: Clean, reader: Reader) -> Image.Image:
    """The picture; a plain JPEG at a fraction of its size, which is enough to look at and a fraction of the work."""
    job = Job(f"{raw}/{entry.file}", entry.box)
    if entry.print.suffix != ".jpg" or max(entry.print.width, entry.print.height) < 4 * TILE:
        return fingerprint.picture(job, entry.print, clean, reader)
    image = decode.open_header(fingerprint.content(job.file, entry.print, reader))
    image.draft("RGB", (TILE, TILE))
    return image


def _picture(entry: Entry, raw: Path, clean: Clean, reader: Reader) -> Image.Image | None:
    """A tile; None where the file is no longer what it was."""
    tile = Image.new("RGB", (TILE, TILE), "white")
    if entry.print.refused:
        ImageDraw.Draw(tile).rectangle((6, 6, TILE - 7, TILE - 7), outline="#cf222e")
        return tile
    try:
        image = _small(entry, raw, clean, reader)
    except decode.Refused:
        return None
    scale = (TILE - 6) / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    image = image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BILINEAR, reducing_gap=2)
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return tile
