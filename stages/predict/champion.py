"""Which variant to use: chosen on validation, never on test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stages.aggregate.params import Aggregate
from stages.core import cells, console, files, params
from stages.core.errors import UserError
from stages.core.metrics import LOWER_IS_BETTER, WHOLE_CELL

if TYPE_CHECKING:
    import argparse

    from stages.core.params import Study


class Candidate(NamedTuple):
    """A variant's figures on validation, and its cost.

    mean: of the metric over the seeds. error: standard error of that mean. macs: multiplications for a picture.
    """

    variant: str
    mean: float
    error: float
    macs: int


class Choice(NamedTuple):
    """The champion, and the sentence that says why."""

    variant: str
    why: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose a variant and a seed; `asked` reads them."""
    parser.add_argument("--variant", help="a key of `variants`; without it, the champion on validation")
    parser.add_argument("--seed", type=int, help="one network; without it, the networks of all seeds together")


def asked(study: Study, variant: str | None, seed: int | None) -> tuple[str, list[int]]:
    """The variant and the seeds whose networks are used: those asked for, else the champion and all seeds.

    Raises:
        UserError: the study has no such variant or seed, or there is no champion yet.
    """
    if variant is None:
        variant, why = choose(study)
        console.say(f"champion: {variant} ({why})")
    elif variant not in study.variants:
        raise UserError(f"params.yaml has no variant {variant!r}; its variants are {', '.join(study.variants)}")
    if seed is not None and seed not in study.seeds:
        raise UserError(f"params.yaml has no seed {seed}; its seeds are {', '.join(map(str, study.seeds))}")
    return variant, study.seeds if seed is None else [seed]


def choose(study: Study) -> Choice:
    """The cheapest of the variants that are tied with the best on validation, and why.

    A variant is tied with the best when its mean lies within one standard error of the best mean (the
    one-standard-error rule; L. Breiman et al., "Classification and Regression Trees", 1984). The standard error is that
    of the best. The metric is `aggregate.compare`. A metric of the whole cell is known for test images alone, so that
    top-1 stands in for it.

    Raises:
        UserError: the study has no report yet, or no variant with a trained network.
    """
    if not Path("reports/summary.csv").exists():
        raise UserError(f"reports/summary.csv is not here; {files.again()} makes it")
    compare = params.section(Aggregate, study.raw["aggregate"], "aggregate").compare
    metric = "top1" if compare in WHOLE_CELL else compare
    found = _candidates(study, metric)
    if not found:
        raise UserError("params.yaml: no variant of this study is a trained network, so there is none to predict with")
    sign = -1 if metric in LOWER_IS_BETTER else 1
    best = max(found, key=lambda c: (sign * c.mean, -c.macs))
    tied = [c for c in found if sign * c.mean >= sign * best.mean - best.error]
    chosen = min(tied, key=lambda c: (c.macs, -sign * c.mean))
    why = f"validation {metric} {chosen.mean:.4f}"
    if chosen is best:
        return Choice(chosen.variant, f"{why}, the best of {len(found)}")
    return Choice(
        chosen.variant,
        f"{why}, within one standard error ({best.error:.4f}) of the best ({best.variant}, {best.mean:.4f}), and the "
        f"cheapest of the {len(tied)} that are",
    )


def _candidates(study: Study, metric: str) -> list[Candidate]:
    """Every variant that has a trained network and figures on validation."""
    found = []
    validation = {
        row["variant"]: row
        for row in files.read_rows("reports/summary.csv", ["n", "mean", "sd"])
        if row["split"] == "val" and row["metric"] == metric and row["mean"]
    }
    for variant, settings in study.variants.items():
        row = validation.get(variant)
        if row is None or (settings.get("model") or {}).get("name") == "random":
            continue
        error = float(row["sd"] or 0) / float(row["n"]) ** 0.5
        # All seeds of a variant have one architecture, so the cost of the first is the cost of all.
        cost = files.read_json(cells.evaluate_folder(variant, study.seeds[0]) / "cost.json")
        found.append(Candidate(variant, float(row["mean"]), error, int(cost["macs"])))
    return found
