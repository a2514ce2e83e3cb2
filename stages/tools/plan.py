# ruff: noqa: RUF001 - a dash is what is meant
"""`python -m stages.tools.plan`: before a study is run, the smallest difference that it would decide.

    python -m stages.tools.plan                                  # from the study in this folder, as a pilot
    python -m stages.tools.plan --accuracy 0.85 --seed-sd 1.0    # from stated figures, in points

Writes `plan/plan.csv` and `plan/plan.png`, and prints the table: with 80 % power and the error of the whole family that
`aggregate.alpha` allows, for seeds x test images x variants. It is found from drawn studies (`drawn`) that
`stages.aggregate.joint` judges: how many are decided, and by which of its rules, depends on what few seeds happen to
show. A pilot that is asked after the fact whether "more would have helped" answers nothing; a plan is made before.
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from itertools import product, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.aggregate import collect, compare
from stages.aggregate.params import Aggregate
from stages.core import console, errors, files, params
from stages.core.errors import UserError
from stages.core.metrics import WHOLE_CELL, in_percent, limits
from stages.tools.drawn import POWER, Draws, Parts

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS, NEAR = 8, 0.03
SEEDS, IMAGES, VARIANTS = (2, 3, 5, 10), (100, 300, 1000, 3000, 10_000), (2, 5, 10, 20)
COLUMNS = ["variants", "seeds", "images", "smallest_difference"]
# Correlation of right and wrong over images, typical of networks.
BETWEEN_VARIANTS, BETWEEN_SEEDS = 0.36, 0.48


def main() -> None:
    """Print and write the plan."""
    parser = argparse.ArgumentParser(prog="python -m stages.tools.plan", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--accuracy", type=float, help="that the variants are expected to reach, between 0 and 1")
    parser.add_argument("--seed-sd", type=float, help="standard deviation over seeds, in points of accuracy")
    asked = parser.parse_args()
    if (asked.accuracy is None) != (asked.seed_sd is None):
        raise UserError("state both `--accuracy` and `--seed-sd`, or neither: then this folder's cells are the pilot")
    if asked.accuracy is None:
        study = params.read()
        settings = params.section(Aggregate, study.raw["aggregate"], "aggregate")
        parts = pilot(study, settings)
    else:
        parts, settings = stated(asked.accuracy, asked.seed_sd / 100), Aggregate()
    unit = "points" if in_percent(settings.compare) else settings.compare.upper()
    most = largest(parts, settings.compare)
    console.say("Studies are drawn and judged; this takes about a minute.")
    rows = table(parts, settings.alpha, most)
    files.write_rows("plan/plan.csv", COLUMNS, rows)
    _draw(rows, Path("plan/plan.png"), unit)
    for line in _lines(rows, unit, most):
        console.say(line)


def stated(accuracy: float, seed_sd: float) -> Parts:
    """From figures that somebody expects.

    Raises:
        UserError: they are no accuracy and no standard deviation.
    """
    if not 0 < accuracy < 1 or seed_sd < 0:
        raise UserError(f"`--accuracy` is {accuracy} and must lie between 0 and 1; `--seed-sd` must not be negative")
    one = accuracy * (1 - accuracy)
    image = 2 * one * (BETWEEN_SEEDS - BETWEEN_VARIANTS)
    return Parts(seed_sd**2, one * (1 - BETWEEN_SEEDS), image, accuracy)


def pilot(study: params.Study, settings: Aggregate) -> Parts:
    """From the cells that are here, the variants pooled.

    Raises:
        UserError: one seed, one variant, or splits of their own for seeds.
    """
    found = collect.tested(collect.read(study.cells), settings.compare)
    if len(found) > 1 or len(study.seeds) < 2 or len(study.variants) < 2:
        raise UserError(
            "a pilot needs two variants and two seeds on one split (`split.per_seed: false`); without one, state "
            "`--accuracy` and `--seed-sd`"
        )
    if settings.compare in WHOLE_CELL:
        raise UserError(
            f"`aggregate.compare: {settings.compare}` is one number for each run, so a pilot does not show how it "
            "varies with the number of test images; plan for another metric"
        )
    values, sizes = found[0].blocks.astype(np.float64), found[0].group_sizes
    spread = compare.spread(values, compare.all_pairs(len(values)), sizes)
    size = spread.equal_groups / spread.units  # less than 1 where groups differ in size: fewer equal ones say as much
    left, image = float(spread.rest.mean()) * size, float(spread.image.mean()) * size / spread.seeds
    if not (spread.seed.any() or left or image):
        raise UserError("the runs of this pilot do not vary; state `--accuracy` and `--seed-sd` instead")
    share = float(values.mean()) if np.isin(values, (0, 1)).all() else None  # in other units nothing is known of it
    of_runs = max(float(spread.seed.mean()) * size - left, 0.0) / sizes.equal_groups
    return Parts(of_runs, left, image, share, len(found[0].image_ids) / sizes.equal_groups)


def table(parts: Parts, alpha: float, most: float) -> list[dict[str, Any]]:
    """The rows of plan.csv; no difference where it would be above `most`."""
    designs = list(product(VARIANTS, SEEDS, IMAGES))
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(smallest, repeat(parts), *zip(*designs, strict=True), repeat(alpha), repeat(most)))
    return [dict(zip(COLUMNS, (*design, one), strict=True)) for design, one in zip(designs, found, strict=True)]


def largest(parts: Parts, metric: str) -> float:
    """The largest difference that there is of a metric."""
    if parts.share is not None:
        return max(parts.share, 1 - parts.share)
    return limits(metric)[1]


def smallest(
    parts: Parts, variants: int, seeds: int, images: int, alpha: float, most: float = math.inf
) -> float | None:
    """The difference of one variant from each other that `joint` decides in 80 of 100 studies; None if above `most`.

    The variants are taken to vary alike over seeds. The one is ahead; where a share leaves no room for that, behind.
    """
    draws = Draws(variants, seeds, max(round(images / parts.group), 2))
    room = most if parts.share is None else min(1 - parts.share, most)
    ahead = _stable(lambda found: draws.needed(parts, found, alpha), 0.0, room)
    if ahead is None and room < most:
        return _stable(lambda found: draws.needed(parts, -found, alpha), room, most)
    return ahead


def _stable(needed: Callable[[float], float], least: float, most: float) -> float | None:
    """The difference that needs itself, since what is needed depends a little on it; None if above `most`."""
    found = least
    for _ in range(STEPS):
        before, found = found, needed(found)
        if abs(found - before) <= NEAR * found or before == most < found:
            break
        found = min(max(found, least), most)
    return found if found <= most else None


def shown(difference: float, unit: str) -> float:
    """As it is printed: in percentage points, or in the unit of a loss."""
    return 100 * difference if unit == "points" else difference


def _lines(rows: list[dict[str, Any]], unit: str, most: float) -> list[str]:
    digits = 1 if unit == "points" else 3
    head = "variants  seeds  " + "".join(f"{f'{n:,} images':>15}" for n in IMAGES)
    lines = [f"The smallest difference, in {unit}, that is decided with {100 * POWER:.0f} % power:", head]
    for start in range(0, len(rows), len(IMAGES)):
        some = rows[start : start + len(IMAGES)]
        found = [r["smallest_difference"] for r in some]
        cells = ["–" if value is None else f"{shown(value, unit):.{digits}f}" for value in found]
        lines.append(f"{some[0]['variants']:>8}  {some[0]['seeds']:>5}  " + "".join(f"{cell:>15}" for cell in cells))
    if any(row["smallest_difference"] is None for row in rows):
        lines.append(f"–: above {shown(most, unit):.{digits}f} {unit}, and there is no larger difference.")
    lines.append("docs/statistics.md says why more images can need a larger difference, and why there may be none.")
    return [*lines, "Written: plan/plan.csv, plan/plan.png"]


def _draw(rows: list[dict[str, Any]], path: Path, unit: str) -> None:
    """A panel for each number of variants, a line for each number of seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(VARIANTS), 2.8), layout="tight")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(VARIANTS), sharey=True)
    for panel, variants in zip(panels, VARIANTS, strict=True):
        for seeds in SEEDS:
            some = [r for r in rows if (r["variants"], r["seeds"]) == (variants, seeds) and r["smallest_difference"]]
            x, y = [r["images"] for r in some], [shown(r["smallest_difference"], unit) for r in some]
            panel.plot(x, y, "o-", ms=3, lw=1.2, label=f"{seeds} seeds")
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_title(f"{variants} variants", fontsize=9)
        panel.set_xlabel("test images")
    panels[0].set_ylabel(f"smallest difference, {unit}")
    panels[-1].legend(fontsize=7)
    with files.atomic(path) as partial:
        figure.savefig(partial, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    errors.run(main)
