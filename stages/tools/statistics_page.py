"""The pictures and figures of docs/statistics.md, from committed results: `python -m stages.tools.statistics_page`.

The digits of the repository's own study show intervals and comparisons; the bananas show what splits and copies do.
A block of the page between `<!-- NAME -->` and `<!-- /NAME -->` is written here, the rest by hand.
"""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.aggregate.joint import MOST_FREEDOM, Range
from stages.core import errors, files
from stages.report.figures import COLOURS, GRID, INK, MUTED, SURFACE, VARIABLES, Figures, drawing, name_rows
from stages.report.page import interval, names, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parents[2]
PAGE, PICTURES = ROOT / "docs/statistics.md", ROOT / "docs/pictures"
DIGITS, BANANAS = ROOT / "reports", ROOT / "studies/bananas_scratch"
SHOWN = "mlp"  # the variant whose intervals are drawn
FAMILY = (2, 3, 5, 10, 20)
BLUE, ORANGE, GREEN = COLOURS[:3]
WIDTH = 4.6  # inches, which a phone shows without shrinking much
_Row = dict[str, str]
_Block = tuple[Any, str, str]  # the drawing, what it shows in words, and the lines below it
VERDICTS = {"a better": "{a} is better", "b better": "{b} is better", "undecided": "not decided"}


def main() -> None:
    """Write the pictures and the blocks of the page."""
    text, pictures = made(PAGE.read_text(encoding="utf-8"))
    PICTURES.mkdir(exist_ok=True)
    for name, svg in pictures.items():
        files.write_text(PICTURES / f"{name}.svg", svg)
    files.write_text(PAGE, text)


def made(text: str) -> tuple[str, dict[str, str]]:
    """The text of the page with its blocks made anew from the results, and the pictures by name."""
    pictures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch, drawing(Path(scratch)) as figures:
        for name, block in BLOCKS.items():
            axes, alt, below = block(figures)
            pictures[name] = _standing(str(figures.add(name, axes.figure, alt).svg))
            lines = f"<!-- {name} -->\n![{alt}](pictures/{name}.svg)\n\n{below}\n<!-- /{name} -->"
            before, _, rest = text.partition(f"<!-- {name} -->")
            text = before + lines + rest.partition(f"<!-- /{name} -->")[2]
    return text, pictures


def _axes(figures: Figures, height: float) -> Axes:
    axes: Axes = figures.canvas(WIDTH, height).subplots()
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    return axes


def _bar(axes: Axes, place: int, low: float, high: float, colour: str, middle: float | None = None) -> None:
    """An interval, and a point in it."""
    axes.plot([low, high], [place, place], color=colour, lw=5, solid_capstyle="butt")
    if middle is not None:
        axes.plot([middle], [place], "o", ms=5, color=SURFACE, mec=INK)


def _standing(svg: str) -> str:
    """A drawing of the report as the text of an SVG file of its own, on a white ground."""
    for colour, variable in VARIABLES.items():
        svg = svg.replace(f"var(--{variable})", colour)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert box is not None  # noqa: S101 - a page's drawing has one
    size = f'width="{float(box[1]) * 4 / 3:.0f}" height="{float(box[2]) * 4 / 3:.0f}"'
    svg = re.sub(r' style="max-width:[^"]*"', f' {size} style="background:{SURFACE}"', svg, count=1)
    return svg + "\n"


def _intervals(figures: Figures) -> _Block:
    """The results of the seeds of one variant, and the four intervals around their mean."""
    runs = [100 * float(row["value"]) for row in _of(DIGITS / "runs.csv", SHOWN)]
    over = _of(DIGITS / "summary.csv", SHOWN)[0]
    row = _of(DIGITS / "intervals.csv", SHOWN)[0]
    bars = {
        "new seeds\n(small print)": (over["ci_low"], over["ci_high"]),
        "new images": (row["image_ci_low"], row["image_ci_high"]),
        "new seeds\nand images": (row["ci_low"], row["ci_high"]),
        "one further\nrun": (row["run_low"], row["run_high"]),
    }
    axes = _axes(figures, 2.5)
    axes.plot(runs, [0] * len(runs), "o", ms=6, mfc="none", mec=BLUE)
    axes.plot([np.mean(runs)], [0], "s", ms=5, color=BLUE)
    ends = [(100 * float(low), min(100 * float(high), 100)) for low, high in bars.values()]
    for place, (low, high) in enumerate(ends, 1):
        _bar(axes, place, low, high, BLUE)
        axes.plot([np.mean(runs)], [place], "s", ms=5, color=SURFACE, mec=BLUE)
    name_rows(axes, ["every seed", *bars])
    axes.set_xlabel(f"test top-1 of {SHOWN}, %")
    said = [f"{low:.1f} to {high:.1f} %" for low, high in ends]
    alt = (
        f"Four intervals of {SHOWN}: new seeds {said[0]}, new images {said[1]}, both {said[2]}, a further run {said[3]}"
    )
    each = names([f"{value:.1f}" for value in runs])
    below = (
        f"The network `{SHOWN}` of the study `digits`: {len(runs)} seeds reached {each} % on {row['images']} test "
        f"images, a mean of {np.mean(runs):.1f} % (square). The interval for new seeds is {said[0]}, for new images "
        f"{said[1]}, for both {said[2]}. One further run is expected at {said[3]}."
    )
    return axes, alt, below


def _splits(figures: Figures) -> _Block:
    """One network on many splits of one collection."""
    few = [100 * float(row["value"]) for row in _of(DIGITS / "runs.csv", SHOWN)]
    [name] = {row["variant"] for row in files.read_rows(BANANAS / "reports/runs.csv")}
    many = [100 * float(row["value"]) for row in _of(BANANAS / "reports/runs.csv", name)]
    axes = _axes(figures, 1.3)
    axes.plot(many, [0] * len(many), "o", ms=7, mfc="none", mec=ORANGE)
    axes.plot([np.mean(many)], [0], "s", ms=5, color=ORANGE)
    name_rows(axes, [f"{len(many)} splits,\na seed each"])
    axes.set_xlabel("test top-1, %")
    least, most = min(many), max(many)
    alt = f"{name} on {len(many)} splits of one collection: {least:.1f} to {most:.1f} %, mean {np.mean(many):.1f} %"
    below = (
        f"The network `{name}` of the study `bananas_scratch`, on {len(many)} splits of the same pictures. One split "
        f"alone could have shown anything from {least:.1f} to {most:.1f} %. The mean is {np.mean(many):.1f} %, the "
        f"SD {np.std(many, ddof=1):.1f} points. For comparison: the SD of `{SHOWN}` above, over seeds on one split, "
        f"is {np.std(few, ddof=1):.1f} points."
    )
    return axes, alt, below


def _pairs(figures: Figures) -> _Block:
    """The difference of each pair of the digits, with its interval alone and among all pairs."""
    rows = [_ahead(row) for row in files.read_rows(DIGITS / "comparisons.csv")]
    rows.sort(key=lambda row: -row["difference"])
    axes = _axes(figures, 0.7 + 0.5 * len(rows))
    axes.axvline(0, color=MUTED, lw=1)
    for place, row in enumerate(rows):
        colour = MUTED if row["verdict"] == "not decided" else GREEN
        axes.plot(np.array(row["wide"]), [place, place], color=colour, lw=1.5)
        _bar(axes, place, row["alone"][0], row["alone"][1], colour, row["difference"])
    name_rows(axes, [f"{row['a']}\n− {row['b']}" for row in rows])  # noqa: RUF001
    axes.set_xlabel("difference of test top-1, points")
    lines = ["| pair | difference | by itself | all pairs at once | verdict |", "|---|---|---|---|---|"]
    for row in rows:
        alone, wide = (interval(row[kind][0] / 100, row[kind][1] / 100, "top1") for kind in ("alone", "wide"))
        shown = signed(row["difference"] / 100, "top1")
        lines.append(f"| {row['a']} − {row['b']} | {shown} | {alone} | {wide} | {row['verdict']} |")  # noqa: RUF001
    said = "; ".join(f"{row['a']} and {row['b']}: {row['verdict']}" for row in rows)
    return axes, f"Differences of {len(rows)} pairs with two intervals each. {said}", "\n".join(lines)


def _ahead(row: _Row) -> dict[str, Any]:
    """A comparison in points, with the better variant first."""
    turned = float(row["difference"]) < 0
    ends = {
        kind: sorted((-1 if turned else 1) * 100 * float(row[f"{name}{end}"]) for end in ("ci_low", "ci_high"))
        for kind, name in (("alone", ""), ("wide", "joint_"))
    }
    a, b = (row["variant_b"], row["variant_a"]) if turned else (row["variant_a"], row["variant_b"])
    verdict = VERDICTS.get(row["verdict"], row["verdict"]).format(a=row["variant_a"], b=row["variant_b"])
    return {"a": a, "b": b, "difference": abs(100 * float(row["difference"])), **ends, "verdict": verdict}


def alone_wrong(variants: int) -> float:
    """How often equal variants show a difference somewhere, if each pair is judged at 5 % by itself.

    The means are taken to be normal, of one variance that is known. Then a pair differs when it is further apart than
    1.96 times the square root of 2, and some pair does when the range of all means is.
    """
    return float(Range(variants, np.array([MOST_FREEDOM])).sf([1.959964 * math.sqrt(2)])[0])


def _family(figures: Figures) -> _Block:
    """How often a study finds a false difference, with pairs judged one by one and all together."""
    shares = [100 * alone_wrong(count) for count in FAMILY]
    axes = figures.canvas(WIDTH, 2.2).subplots()
    axes.plot(FAMILY, shares, "o-", color=ORANGE, ms=4)
    axes.plot(FAMILY, [5] * len(FAMILY), "o-", color=GREEN, ms=4)
    axes.annotate("each pair by itself", (FAMILY[-2], shares[-2]), (6, -14), textcoords="offset points", color=ORANGE)
    axes.annotate("all pairs together", (FAMILY[-2], 5), (0, 6), textcoords="offset points", color=GREEN)
    axes.set_ylim(0, 100)
    axes.set_xticks(FAMILY)
    axes.set_xlabel("variants, all equal")
    axes.set_ylabel("studies with a false\n“better”, %")
    said = names([f"{share:.0f} % of {count}" for count, share in zip(FAMILY, shares, strict=True)])
    alt = f"Share of studies with a false difference: {said} equal variants if each pair is judged alone, 5 % together"
    lines = ["| variants | pairs | a false difference somewhere, each pair at 5 % |", "|---:|---:|---:|"]
    rows = zip(FAMILY, shares, strict=True)
    lines += [f"| {count} | {math.comb(count, 2)} | {share:.0f} % |" for count, share in rows]
    return axes, alt, "\n".join(lines)


def _verdicts(figures: Figures) -> _Block:
    """A drawing that explains the verdicts; it shows no results."""
    drawn = {
        "better": (3.0, 1.6, GREEN), "better, by less\nthan the margin": (0.55, 0.35, GREEN),
        "equal within\nthe margin": (0.2, 0.6, BLUE), "not decided": (1.1, 2.2, MUTED),
    }  # fmt: skip
    axes = _axes(figures, 2.2)
    axes.axvspan(-1, 1, color=GRID, alpha=0.6, lw=0)
    axes.axvline(0, color=MUTED, lw=1)
    for place, (middle, half, colour) in enumerate(drawn.values()):
        _bar(axes, place, middle - half, middle + half, colour, middle)
    name_rows(axes, list(drawn))
    axes.set_xlabel("difference, points; grey: the margin of 1 point")
    alt = (
        "Four intervals of a difference against 0 and a margin of 1 point: better, better by less than the margin, "
        "equal within the margin, not decided"
    )
    return axes, alt, "A drawing, not a result. The interval is the one for all pairs at once."


def _leak(figures: Figures) -> _Block:
    """The accuracy that was gained by copies shared by training and test."""
    [row] = files.read_rows(BANANAS / "leak.csv")
    kinds = {
        "raw": "every test picture", "all": "every family once", "copies": "a copy in training",
        "apart": "copies, none in training", "others": "no copy",
    }  # fmt: skip
    axes = _axes(figures, 2.2)
    axes.axvline(0, color=MUTED, lw=1)
    lines = ["| test pictures | published split | clean split | difference | 95 % interval |", "|---|---|---|---|---|"]
    for place, (kind, name) in enumerate(kinds.items()):
        leak, low, high = (100 * float(row[f"{kind}_{what}"]) for what in ("leak", "low", "high"))
        _bar(axes, place, low, high, ORANGE, leak)
        one, two = (f"{100 * float(row[f'{kind}_{what}']):.1f} %" for what in ("published", "clean"))
        shown = signed(leak / 100, "top1"), interval(low / 100, high / 100, "top1")
        lines.append(f"| {name} | {one} | {two} | {shown[0]} | {shown[1]} |")
    name_rows(axes, list(kinds.values()))
    axes.set_xlabel("points of test top-1 gained by copies")
    said = ", ".join(f"{name} {100 * float(row[f'{kind}_leak']):+.1f}" for kind, name in kinds.items())
    alt = f"Gain by copies, points: {said}"
    return axes, alt, "\n".join(lines)


def _of(path: Path, variant: str) -> list[_Row]:
    """The rows of a variant's test top-1."""
    wanted = {"variant": variant, "split": "test", "metric": "top1"}
    return [row for row in files.read_rows(path) if all(row[key] == value for key, value in wanted.items())]


BLOCKS = {
    "intervals": _intervals, "splits": _splits, "pairs": _pairs, "family": _family, "verdicts": _verdicts,
    "leak": _leak,
}  # fmt: skip

if __name__ == "__main__":
    errors.run(main)
