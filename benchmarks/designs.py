"""How often studies of equal variants find a difference where images have groups, or the study has several splits.

    python -m benchmarks.designs [--studies 400] [--seed 0]

Groups: pictures are got right as in `benchmarks.statistics`, and each variant has an effect of its own on each group.
Splits: results of whole splits are normal values, correlated as the corrected t-test has it (Nadeau and Bengio 2003)
with 0.4 images held out for each image trained on. Prints the tables of decisions 0403 and 0431; exit 1 where a share
of false differences is above .08, or a pair's interval covers less than .93 (beyond chance: three standard errors).
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from benchmarks.statistics import ALPHA, short
from stages.aggregate import compare, resampled, single, values
from stages.aggregate.params import Aggregate

MOST, LEAST = 0.08, 0.93
ACCURACY, SHARED, RUN, SEED = 0.8, 0.6, 0.8, 0.03  # of every variant; SDs of picture, seed x picture and seed
SIZES = {
    "10 of 100, 100 of 1": [100] * 10 + [1] * 100,
    "300, 200, 150, 60 of 20": [300, 200, 150] + [20] * 60,
    "10 of 40, 200 of 1": [40] * 10 + [1] * 200,
    "110 of 10": [10] * 110,
    "20 of 10": [10] * 20,
}
RATIO = 0.4  # images held out for each that is trained on
POINTS = ((3, 3), (3, 3, 3), (3,) * 5, (6, 1, 1), (6, 1, 1, 1, 1), (6, 6, 1, 1, 1), (8, 0.5, 0.5, 0.5))
SPLITS = (2, 3, 5, 10)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    wrong = [*groups(rng, options.studies), *splits(rng, 5 * options.studies)]
    print("\n" + ("; ".join(wrong) or "All shares are within their limits, as far as chance allows to say."))
    sys.exit(1 if wrong else 0)


def groups(rng: np.random.Generator, studies: int) -> list[str]:
    """The table of decision 0403: two equal variants, three seeds, groups of images; what is beyond its limit."""
    from scipy.special import ndtri

    head = ("groups", "worth", "SD of groups", "one variant covers", "pair covers", "false better")
    print("\n| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    wrong = []
    for name, sizes in SIZES.items():
        group = np.repeat(np.arange(len(sizes)), sizes)
        names = [f"{place:04}" for place in group]
        equal = values.group_sizes(names)
        for spread in (0.5, 1.0):
            skill = ndtri(ACCURACY) * np.sqrt(spread**2 + SHARED**2 + RUN**2 + SEED**2)
            hits = np.zeros(3)
            for _ in range(studies):
                latent = skill + spread * rng.normal(size=(2, len(sizes)))[:, None, group]
                latent = latent + SHARED * rng.normal(size=len(group)) + SEED * rng.normal(size=(2, 3, 1))
                right = (latent + RUN * rng.normal(size=(2, 3, len(group))) > 0).astype(np.int64)
                one = single.one_split(values.blocks(right, names)[0], "top1", ALPHA, 0.0, equal)
                pair = compare.one_split(values.blocks(right, names), right, Aggregate(), equal)
                hits += [
                    float(one["ci_low"] or 0) <= ACCURACY <= float(one["ci_high"] or 0),
                    pair.low[0] <= 0 <= pair.high[0],
                    bool((pair.family.p() < ALPHA).any()),
                ]
            shares = hits / studies
            row = f"{name} | {equal.equal_groups:.1f} | {spread:g}"
            print(f"| {row} | " + " | ".join(map(short, shares)) + " |", flush=True)
            if shares[1] < LEAST - _chance(LEAST, studies) or shares[2] > MOST + _chance(MOST, studies):
                wrong.append(row)
    return wrong


def splits(rng: np.random.Generator, studies: int) -> list[str]:
    """The table of decision 0431: equal variants whose results vary unequally over splits; what is beyond its limit."""
    print("\nShare of studies with a false better, by the number of splits\n")
    print("| SDs of the variants, points |" + "".join(f" {count} |" for count in SPLITS))
    print("|---|" + "---|" * len(SPLITS))
    wrong, common = [], RATIO / (1 + RATIO)
    for points in POINTS:
        spread, pairs = np.array(points)[:, None] / 100, compare.all_pairs(len(points))
        shares = []
        for count in SPLITS:
            found = 0
            for _ in range(studies):
                of_all, own = rng.normal(size=(len(points), 1)), rng.normal(size=(len(points), count))
                table = ACCURACY + spread * (np.sqrt(common) * of_all + np.sqrt(1 - common) * own)
                family = resampled.family(table, pairs, RATIO, np.zeros(len(pairs)), np.zeros(len(points)))
                found += bool((family.p() < ALPHA).any())
            shares.append(found / studies)
        row = ", ".join(f"{point:g}" for point in points)
        print(f"| {row} | " + " | ".join(map(short, shares)) + " |", flush=True)
        if max(shares) > MOST + _chance(MOST, studies):
            wrong.append(row)
    return wrong


def _chance(share: float, studies: int) -> float:
    return 3 * float(np.sqrt(share * (1 - share) / studies))


if __name__ == "__main__":
    main()
