"""Figures and pictures of a page that needs no network, and the charts of predictions.

Figures come out the same, byte for byte, and take the page's colours in light and dark.

Every figure is drawn once by matplotlib and written twice: as PNG for `figures/` and as SVG for the page, where the
palette's colours become CSS variables and text stays text.
"""

from __future__ import annotations

import base64
import io
import math
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from PIL import Image, ImageOps

from stages.core import files
from stages.core.cells import Sheet
from stages.report.page import number, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

INK, MUTED, GRID, SURFACE = "#1b1f24", "#59636e", "#d8dee4", "#fefefe"
COLOURS = ("#0b5cad", "#b35900", "#1a7f4b", "#7b3fb5", "#b42338", "#0b7285", "#7a5230", "#5c677d")
TRAIN, VAL = COLOURS[1], COLOURS[0]
DISTINCT = len(COLOURS)  # the largest number of variants that colours can distinguish
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface"} | {
    colour: f"c{i}" for i, colour in enumerate(COLOURS, 1)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "evenhand", "font.family": "DejaVu Sans", "font.size": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.6,
    "axes.axisbelow": True, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "legend.frameon": False, "figure.dpi": 100, "savefig.dpi": 120, "path.simplify_threshold": 0.2,
    "text.parse_math": False,  # a label such as `$a_{b$` is text
    "axes.facecolor": "none", "figure.facecolor": SURFACE, "savefig.facecolor": SURFACE,
}  # fmt: skip


@contextmanager
def drawing(folder: Path) -> Iterator[Figures]:
    """Figures that are drawn into `folder`, in the style of the page."""
    with mpl.rc_context(_STYLE):
        yield Figures(folder)


@dataclass(frozen=True)
class Figure:
    """A drawn figure: the name of its file, its description in words, and its SVG for the page."""

    name: str
    alt: str
    svg: Markup


class Figures:
    """Draws figures into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def canvas(self, width: float, height: float) -> Canvas:
        """An empty figure of `width` x `height` inches; about 4.4 fit a phone without shrinking."""
        figure = Canvas(figsize=(width, height))
        FigureCanvasAgg(figure)
        return figure

    def add(self, name: str, figure: Canvas, alt: str, *, page: bool = True) -> Figure:
        """Write `name`.png and return the figure, without its SVG where the page has a table instead."""
        figure.tight_layout(pad=0.4)  # once: a layout engine would measure all text again for each of the two files
        figure.set_layout_engine(None)  # the engine that tight_layout leaves there would draw every file twice
        figure.savefig(self.folder / f"{name}.png", metadata={"Software": None})
        if not page:
            return Figure(name, alt, Markup())
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Type", "Format"))
        )
        return Figure(name, alt, Markup(_themed(buffer.getvalue(), name, alt)))  # noqa: S704 - our own drawing


def name_rows(axes: Axes, names: Sequence[str], colour: str = INK) -> None:
    """Name the rows of a chart, the first at the top."""
    axes.set_yticks(range(len(names)), names, color=colour)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def shares(counts: Counts) -> Floats:
    """The shares of the images of each true class, of counts by true class (rows) and predicted class (columns)."""
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def confusion_matrix(variant: str, counts: Counts, classes: list[str], figures: Figures, *, numbers: bool) -> Figure:
    """A confusion matrix by shares of the true class; with `numbers` for report.md alone, as the page has a table."""
    share = 100 * shares(counts)
    side = min(4.6, 1.8 + 0.34 * len(classes)) if numbers else 4.4
    canvas = figures.canvas(side + 0.4, side)
    axes = canvas.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.grid(visible=False)
    axes.set(xlabel="predicted", ylabel="true", xticks=[], yticks=[])
    if numbers:
        names = [short(label, 16) for label in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axes.set_yticks(range(len(classes)), names)
        for (i, j), value in np.ndenumerate(share):
            if counts[i, j]:
                colour = SURFACE if value > 55 else INK
                axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
        axes.set_title("% of the true class", fontweight="normal", fontsize=8)
    else:
        canvas.colorbar(image, ax=axes, shrink=0.6, label="% of the true class")
    diagonal = float(np.trace(counts) / max(counts.sum(), 1))
    alt = (
        f"Confusion matrix of {variant} on the test set, {len(classes)} classes, rows true, columns predicted; "
        f"{100 * diagonal:.1f} % on the diagonal."
    )
    return figures.add(f"confusion_{variant}", canvas, alt, page=not numbers)


def reliability_diagram(variant: str, found: pd.DataFrame, figures: Figures) -> Figure:
    """Accuracy against confidence in each bin, over the images of all seeds; bars show the share of the images."""
    weights = found.assign(c=found["n"] * found["confidence"], a=found["n"] * found["accuracy"])
    bins = weights.groupby(["bin_low", "bin_high"], as_index=False)[["n", "c", "a"]].sum()
    width = bins["bin_high"] - bins["bin_low"]
    centre, accuracy = bins["bin_low"] + width / 2, bins["a"] / bins["n"]
    canvas = figures.canvas(2.6, 2.5)
    axes = canvas.subplots()
    axes.bar(centre, bins["n"] / bins["n"].sum(), width=width * 0.9, color=COLOURS[7], alpha=0.25)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.plot(bins["c"] / bins["n"], accuracy, "o-", color=COLOURS[0], lw=1.2, ms=3.5)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    over = float((bins["c"] - bins["a"]).sum() / bins["n"].sum())
    lean = "overconfident" if over > 0 else "underconfident"
    alt = (
        f"Reliability of {variant} on the test set: on average {lean} by {number(abs(over), 'ece')} points; bars "
        "show the share of images in each bin."
    )
    return figures.add(f"reliability_{variant}", canvas, alt)


def strength_chart(
    transform: str, words: tuple[str, str], labels: list[str], top1: Floats, order: list[str], figures: Figures
) -> Figure:
    """Top-1 (variants in their `order`, seeds, strengths) against strength; `words`: the transform and its unit."""
    title, unit = words
    canvas = figures.canvas(2.6, 2.3)
    axes = canvas.subplots()
    where = np.arange(len(labels))
    mean = 100 * top1.mean(axis=1)
    sd = 100 * top1.std(axis=1, ddof=1) if top1.shape[1] > 1 else np.zeros_like(mean)
    for rank in reversed(range(len(order))):
        bright = len(order) <= DISTINCT or rank == 0
        colour = COLOURS[rank] if bright else GRID
        axes.plot(where, mean[rank], color=colour, lw=1.2, marker="o", ms=2.5)
        if bright:
            axes.vlines(where, mean[rank] - sd[rank], mean[rank] + sd[rank], color=colour, lw=0.8)
    axes.set_xticks(where, labels)
    axes.set_ylim(0, 102)
    axes.set_title(title)
    axes.set_xlabel(unit, color=MUTED)
    axes.set_ylabel("test top-1 %", color=MUTED)
    alt = (
        f"Test top-1 under {title} at {', '.join(labels)}: the lowest mean of any variant is {mean.min():.1f} %, the "
        f"lowest mean of {order[0]} is {mean[0].min():.1f} %."
    )
    return figures.add(f"robustness_{transform}", canvas, alt)


def legend(order: list[str], figures: Figures) -> Figure:
    """The legend of the strength charts as a figure of its own, for report.md."""
    shown = list(zip(order, COLOURS, strict=False))
    if len(order) > DISTINCT:
        shown = [(order[0], COLOURS[0]), ("the others", GRID)]
    columns = 3 if max(len(name) for name, _ in shown) <= 16 else 1
    canvas = figures.canvas(4.6, 0.2 + 0.2 * math.ceil(len(shown) / columns))
    lines = [Line2D([], [], color=colour, marker="o", ms=2.5, lw=1.2, label=name) for name, colour in shown]
    canvas.legend(handles=lines, ncols=columns, loc="center", fontsize=8)
    alt = f"Colours of the variants: {', '.join(name for name, _ in shown)}."
    return figures.add("robustness", canvas, alt, page=False)


def _themed(svg: str, name: str, alt: str) -> str:
    body = svg[svg.index("<svg") :]
    head, body = body.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', head)
    assert box is not None  # noqa: S101 - matplotlib always writes it
    width = float(box[1].split()[2]) * 4 / 3
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    # One page holds many figures: ids that only name groups go, ids that are referred to become unique, by counting:
    # matplotlib hashes them from coordinates whose last bit is the processor's.
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", body))
    defined = (found for found in re.findall(r' id="([^"]+)"', body) if found in used)
    ids = {found: f"{name}-{number}" for number, found in enumerate(defined, 1)}
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{ids[m[1]]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)([^)"]+)', lambda m: m[1] + ids[m[2]], body)
    body = body.replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"\n\s*", "\n", body)
    title = Markup.escape(alt)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box[1]}" role="img" aria-label="{title}" '
        f'style="max-width:{width:.0f}px">{body}'
    ).strip()


PIXELATED = 32  # px; smaller pictures are magnified without blur


@dataclass(frozen=True)
class SpriteTile:
    """A picture of a sprite, with the entry of the sprite's JSON about it."""

    sheet: Path
    box: tuple[int, int, int, int]
    about: dict[str, Any]

    def shown(self) -> dict[str, Any]:
        """The entry about the picture, the picture as a data URI, and whether it is magnified without blur."""
        uri = encode(_sheet(self.sheet).crop(self.box))
        return self.about | {"uri": uri, "pixels": self.box[2] - self.box[0] <= PIXELATED}


def sprite_tiles(folder: Path, name: str) -> tuple[dict[str, Any], list[SpriteTile]]:
    """`<name>.json` in `folder`, and its tiles cut from `<name>.jpg`."""
    sheet = folder / f"{name}.jpg"
    head = dict(files.read_json(sheet.with_suffix(".json"), Sheet))
    found = []
    for index, about in enumerate(head["tiles"]):
        row, column = divmod(index, head["columns"])
        px = head["px"]
        found.append(SpriteTile(sheet, (column * px, row * px, (column + 1) * px, (row + 1) * px), about))
    return head, found


def data_uri(path: Path) -> str:
    """The picture at `path`, at most 1200 px wide, as a data URI."""
    image = _sheet(path)
    return encode(ImageOps.contain(image, (min(1200, image.width), image.height)))


def encode(image: Image.Image) -> str:
    """A picture as a data URI: WebP, which every browser since 2020 shows; a tiny one as PNG."""
    kind, options = ("PNG", {}) if image.width <= PIXELATED else ("WEBP", {"quality": 80, "method": 3})
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@cache
def _sheet(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
