"""How often a study of equal variants finds a difference, how often intervals cover, and how often a real one is found.

    python -m benchmarks.statistics [--studies 100] [--seed 0]

Studies are simulated from a probit model: a picture is got right when skill + difficulty of the picture (shared by all)
+ what the variant makes of the picture + the luck of the seed + what the seed makes of the picture is above 0. All
variants have one accuracy, .85, whatever their spread over seeds. `before` is Welch's variance of each pair with Holm's
adjustment, which was used up to decision 401; `now` is `stages.aggregate.joint`. Prints the Markdown tables of decision
403; exit 1 where the family-wise error is above .065 (beyond chance: three standard errors) or the power of the
reference below .34. The cells of the first table run side by side, each with random numbers of its own, so that the
figures do not depend on the number of cores.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stages.aggregate import compare, joint, single
from stages.aggregate.params import Aggregate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ACCURACY, ALPHA, MOST, LEAST_POWER = 0.85, 0.05, 0.065, 0.34
PICTURE, OWN, RUN = 1.0, 0.5, 0.7  # SD of difficulty, variant x picture, seed x picture
STILL = float(np.sqrt(PICTURE**2 + OWN**2 + RUN**2))
SPREADS: dict[str, Callable[[int], Floats]] = {  # SD over seeds in points of accuracy
    "0": lambda count: np.full(count, 0.0),
    "1": lambda count: np.full(count, 1.0),
    "0.5 and 2": lambda count: np.where(np.arange(count) % 2, 2.0, 0.5),
    "one of 3, others 0.5": lambda count: np.r_[3.0, np.full(count - 1, 0.5)],
    "one of 4, others 0": lambda count: np.r_[4.0, np.full(count - 1, 0.0)],
}
VARIANTS, SEEDS, IMAGES = (2, 5, 10, 20, 40), (2, 3, 5, 10), (100, 300, 2000)
SMALL, MORE = 5, 3  # up to so many variants a study costs little, and so many times more are simulated


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    worst = errors(options.seed, options.studies)
    rng = np.random.default_rng(options.seed)
    found = power(rng, 4 * options.studies)
    coverage(rng, 8 * options.studies)
    sys.exit(0 if worst <= 0 and found >= LEAST_POWER else 1)


def simulate(
    rng: np.random.Generator, points: Floats, seeds: int, images: int, ahead: float = 0.0, accuracy: float = ACCURACY
) -> NDArray[np.int64]:
    """Right or wrong (variants, seeds, images); the first variant is `ahead`, the others have one accuracy."""
    from scipy.special import ndtri

    share = np.full(len(points), accuracy)
    share[0] += ahead
    slope = np.exp(-(ndtri(share) ** 2) / 2) / np.sqrt(2 * np.pi) / STILL  # accuracy for a unit of luck
    luck = points / 100 / slope
    skill = ndtri(share) * np.sqrt(STILL**2 + luck**2)
    shape = (len(points), seeds, images)
    latent = RUN * rng.standard_normal(shape, dtype=np.float32)
    latent += OWN * rng.standard_normal((len(points), 1, images), dtype=np.float32)
    latent += PICTURE * rng.standard_normal(images, dtype=np.float32)
    latent += (skill[:, None, None] + luck[:, None, None] * rng.standard_normal((len(points), seeds, 1))).astype("f4")
    return (latent > 0).astype(np.int64)


def decided(right: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], bool]:
    """Which pairs are decided before and now, and whether now by the variances of each pair alone."""
    pairs = compare.all_pairs(len(right))
    parts = compare.spread(right, pairs)
    family = joint.family(parts)
    a, b = (parts.seed[list(side)] for side in zip(*pairs, strict=True))
    total = a + b + parts.image
    squares = np.maximum(a**2 + b**2, 1e-12)
    freedom = np.minimum((parts.seeds - 1) * total**2 / squares, 1e9)
    _, _, p = compare.interval(parts.difference, total / (parts.seeds * parts.units), freedom, ALPHA)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))  # Holm
    before = np.zeros(len(p), dtype=np.bool_)
    before[order] = steps < ALPHA
    return before, family.p() < ALPHA, family.alone


def errors(seed: int, studies: int) -> float:
    """The table of family-wise errors; by how much the worst is above what chance explains."""
    print("\nShare of studies of equal variants with a false difference, before -> now (share judged pair by pair)\n")
    print(f"{studies} studies a cell, {MORE * studies} of up to {SMALL} variants.\n")
    print("| SD of seeds | seeds | images |" + "".join(f" {v} variants |" for v in VARIANTS))
    print("|---|---|---|" + "---|" * len(VARIANTS))
    rows = list(product(SPREADS, IMAGES, SEEDS))
    cells = [(seed, place, *row, v, studies) for place, (row, v) in enumerate(product(rows, VARIANTS))]
    worst = -1.0
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), ProcessPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as pool:
        found = pool.map(_cell, cells)
        for name, images, seeds in rows:
            texts = []
            for _ in VARIANTS:
                text, above = next(found)
                texts.append(text)
                worst = max(worst, above)
            print(f"| {name} | {seeds} | {images} | " + " | ".join(texts) + " |", flush=True)
    return worst


def _cell(about: tuple[int, int, str, int, int, int, int]) -> tuple[str, float]:
    """A cell of the table, and by how much its error is above the limit and three standard errors."""
    seed, place, name, images, seeds, variants, studies = about
    rng = np.random.default_rng([seed, place])
    count = studies * (MORE if variants <= SMALL else 1)
    made = [decided(simulate(rng, SPREADS[name](variants), seeds, images)) for _ in range(count)]
    old, new = (float(np.mean([pair.any() for pair in side])) for side in zip(*[one[:2] for one in made], strict=True))
    alone = float(np.mean([one[2] for one in made]))
    above = new - MOST - 3 * float(np.sqrt(MOST * (1 - MOST) / count))
    return f"{short(old)} → {short(new)}" + (f" ({alone:.2f})" if alone else ""), above


def power(rng: np.random.Generator, studies: int) -> float:
    """The table of how often a variant that is 5 points ahead is told from one of the others; the reference's power."""
    print("\nHow often a variant that is ahead is told from one of the others (SD of seeds 1 point), before -> now\n")
    print("| ahead, points | variants | seeds | images | before | now |\n|---|---|---|---|---|---|")
    found = {}
    for points, variants, seeds, images in ((5, 5, 3, 300), (5, 2, 3, 300), (5, 5, 2, 300), (3, 10, 3, 2000)):
        made = [
            decided(simulate(rng, np.full(variants, 1.0), seeds, images, points / 100))
            for _ in range(studies if images < 1000 else studies // 4)
        ]
        old, new = (
            float(np.mean([pair[: variants - 1] for pair in side]))
            for side in zip(*[one[:2] for one in made], strict=True)
        )
        found[variants, seeds, images] = new
        print(f"| {points} | {variants} | {seeds} | {images} | {short(old)} | {short(new)} |", flush=True)
    return found[5, 3, 300]


def coverage(rng: np.random.Generator, studies: int) -> None:
    """The table of how often the printed intervals cover what they say."""
    print("\nHow often intervals of 95 % cover: of one variant over images and seeds, of a pair, of one further run\n")
    print("| accuracy | images | seeds | one variant | pair | one further run |\n|---|---|---|---|---|---|")
    for accuracy in (0.5, 0.85, 0.95, 0.99):
        for images, seeds in ((100, 3), (300, 3), (300, 5), (2000, 5)):
            spread = np.full(2, 0.2 if accuracy > 0.98 else 1.0)
            hits, printed = np.zeros(3), 0
            count = studies if images < 1000 else studies // 4
            for _ in range(count):
                right = simulate(rng, spread, seeds + 1, images, accuracy=accuracy)
                known = compare.one_split(right[:, :seeds], right, Aggregate())
                row = single.one_split(right[0, :seeds], "top1", ALPHA)
                next_run = right[0, seeds].mean()
                ends = [row["ci_low"], row["ci_high"], row["run_low"], row["run_high"]]
                low, high, least, most = (float("nan") if end is None else end for end in ends)
                printed += row["run_low"] is not None
                hits += [low <= accuracy <= high, known.low[0] <= 0 <= known.high[0], least <= next_run <= most]
            shares = hits / np.array([count, count, printed])
            print(f"| {accuracy} | {images} | {seeds} | " + " | ".join(map(short, shares)) + " |", flush=True)


def short(share: float) -> str:
    """A share as tables have it: `.067`."""
    return f"{share:.3f}".removeprefix("0")


if __name__ == "__main__":
    main()
