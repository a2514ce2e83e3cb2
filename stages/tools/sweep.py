"""`python -m stages.tools.sweep lr`: validation accuracy against one setting, over the DVC experiments of HEAD.

    dvc exp run -S lr=0.01; dvc exp run -S lr=0.1; python -m stages.tools.sweep lr

Writes `sweeps/<setting>/`: a page, a chart and a table. For each variant the value is chosen on the validation set; the
test result is shown for the chosen value alone. Only experiments whose other settings are equal are compared; the
others are named, with their other changes. DVC does not lock these files: experiments belong to one clone.
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core import console, errors, files, params
from stages.core.errors import UserError
from stages.report import page
from stages.report.figures import COLOURS, INK, MUTED, Figure, Figures, drawing
from stages.report.page import MISSING, number, plus_minus
from stages.report.ranking import METRIC
from stages.report.training import flat

TEMPLATES = Path(__file__).parent / "templates"
SWEEPS, METRICS = Path("sweeps"), "reports/metrics.json"
HARMLESS = ("study", "report.", "evaluate.", "aggregate.")  # settings that change no trained network
COLUMNS = ("variant", "value", "experiment", "n", "val_mean", "val_sd", "chosen", "test_mean", "test_sd")
MANY = 8  # curves in one chart, as many as there are colours


@dataclass(frozen=True)
class Experiment:
    """Its settings by their dotted keys, how many seeds it has, and variant -> split -> (mean, SD) of top-1."""

    name: str
    settings: dict[str, Any]
    seeds: int
    top1: dict[str, dict[str, tuple[float, float | None]]]


def main() -> None:
    """Compare the experiments of HEAD."""
    parser = argparse.ArgumentParser(prog="python -m stages.tools.sweep", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("param", help="a key of params.yaml, as `dvc exp run -S` takes it: lr, train.batch ...")
    param = parser.parse_args().param
    study = params.read()
    write(study.name, param, read())


def read() -> list[Experiment]:
    """The experiments of HEAD that have results, including the workspace and HEAD; each set of settings once.

    DVC says which there are. Its table of their settings mixes the studies of one repository, so settings and metrics
    are read from git, where each experiment is a commit.

    Raises:
        UserError: DVC cannot say.
    """
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        rows = dvc.api.exp_show()
    except (DvcException, SCMError) as error:
        raise UserError(f"DVC cannot list the experiments here: {error}") from error
    found: dict[str, Experiment] = {}
    for row in sorted(rows, key=lambda row: (row["Experiment"] is None, row["rev"] == "workspace")):
        texts = [_content(row["rev"], name) for name in (params.FILE, METRICS)]
        if texts[0] and texts[1]:
            one = _experiment(str(row["Experiment"] or row["rev"]), texts[0], json.loads(texts[1]))
            found.setdefault(json.dumps(one.settings, sort_keys=True), one)
    return list(found.values())


def _content(rev: str, name: str) -> str | None:
    """A file of this folder as a commit has it; None where it has none (a queued or failed experiment)."""
    if rev == "workspace":
        return Path(name).read_text(encoding="utf-8") if Path(name).exists() else None
    shown = subprocess.run(["git", "show", f"{rev}:./{name}"], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return shown.stdout if shown.returncode == 0 else None


def _experiment(name: str, settings: str, metrics: dict[str, Any]) -> Experiment:
    study = params.parse(settings.encode())
    top1 = {
        variant: {split: (found[split][METRIC]["mean"], found[split][METRIC].get("sd")) for split in ("val", "test")}
        for variant, found in metrics.items()
        if METRIC in found.get("val", {}) and METRIC in found.get("test", {})
    }
    return Experiment(name, dict(flat(study.raw)), len(study.seeds), top1)


def write(study: str, param: str, experiments: list[Experiment]) -> None:
    """Write index.html, the chart and the table into sweeps/<param>.

    Raises:
        UserError: no such setting, or no two experiments that differ in it alone.
    """
    shown, others = alike(param, experiments)
    rows = choose(param, shown)
    folder = SWEEPS / param
    with files.fresh_folder(folder) as out:
        with drawing(out) as figures:
            figure = _chart(param, rows, figures)
        files.write_rows(out / "sweep.csv", COLUMNS, rows)
        context = {
            "study": study, "param": param, "rows": [_cells(row) for row in rows], "figure": figure,
            "others": others, "experiments": len(shown),
        }  # fmt: skip
        files.write_text(out / "index.html", page.render("sweep.html.j2", context, TEMPLATES))
    for row in rows:
        if row["chosen"]:
            cells = _cells(row)
            said = f"validation top-1 {cells['val']} %, test {cells['test']} %"
            console.say(f"{row['variant']}: {param} = {cells['value']}{cells['tied']}, {said}")
    for name, why in others:
        console.say(f"left out: {name}, which differs in {why}")
    console.say(f"The page: {folder}/index.html")


def alike(param: str, experiments: list[Experiment]) -> tuple[list[Experiment], list[tuple[str, str]]]:
    """The largest set of experiments that differ in `param` alone; and each other experiment with its other settings.

    Raises:
        UserError: no experiment has such a setting, or no two differ in it alone.
    """
    known = sorted({key for experiment in experiments for key in experiment.settings})
    if param not in known:
        close = difflib.get_close_matches(param, known, n=3, cutoff=0.3)
        close = [key for key in known if key.endswith(f".{param}")][:3] or close
        raise UserError(
            f"no experiment has a setting `{param}`" + (f"; did you mean {' or '.join(close)}?" if close else "")
        )
    groups: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault(json.dumps(_rest(experiment, param), sort_keys=True), []).append(experiment)
    best = max(groups.values(), key=lambda group: len({str(e.settings.get(param)) for e in group}))
    values: dict[str, Experiment] = {}
    for experiment in best:
        values.setdefault(str(experiment.settings.get(param)), experiment)
    if len(values) < 2:
        raise UserError(
            f"no two experiments of this commit differ in `{param}` alone; make some: dvc exp run -S {param}=..."
        )
    base = _rest(best[0], param)
    others = [
        (e.name, _differs(base, _rest(e, param))) for group in groups.values() if group is not best for e in group
    ]
    return sorted(values.values(), key=lambda e: _order(e.settings.get(param))), others


def choose(param: str, shown: list[Experiment]) -> list[dict[str, Any]]:
    """A row for each variant and value; only the row of the value that validation chose has a test figure.

    Where validation does not tell the best values apart, the first of them is shown, and `chosen` says of how many.
    """
    found = []
    for variant in [v for v in shown[0].top1 if all(v in e.top1 for e in shown) and _swept(param, v, shown[0])]:
        most = max(e.top1[variant]["val"][0] for e in shown)
        tied = [e for e in shown if math.isclose(e.top1[variant]["val"][0], most, rel_tol=0, abs_tol=1e-9)]
        best, chosen = tied[0], "yes" if len(tied) == 1 else f"first of {len(tied)} equal"
        for experiment in shown:
            val, test = experiment.top1[variant]["val"], experiment.top1[variant]["test"]
            test_of_the_best = test if experiment is best else (None, None)
            start = (variant, experiment.settings.get(param), experiment.name, experiment.seeds)
            row = (*start, *val, chosen if experiment is best else "", *test_of_the_best)
            found.append(dict(zip(COLUMNS, row, strict=True)))
    if not found:
        raise UserError(f"`{param}` affects no variant, because each variant has its own setting instead")
    return found


def _swept(param: str, variant: str, experiment: Experiment) -> bool:
    """Whether a setting reaches a variant: a default does not, where the variant names its own."""
    parts = param.split(".")
    if parts[0] == "variants":
        return parts[1] == variant
    own = parts[0] if param == "lr" else parts[1] if parts[0] == "train" and len(parts) > 1 else None
    if own is None:
        return True
    places = [f"variants.{variant}.{own}"] + (["train.lr"] if param == "lr" else [])
    return not any(key == place or key.startswith(f"{place}.") for key in experiment.settings for place in places)


def _rest(experiment: Experiment, param: str) -> dict[str, Any]:
    return {k: v for k, v in experiment.settings.items() if k != param and not k.startswith(HARMLESS)}


def _differs(base: dict[str, Any], other: dict[str, Any]) -> str:
    keys = sorted(key for key in base.keys() | other.keys() if base.get(key) != other.get(key))
    said = [f"{key} ({_text(other.get(key))}, not {_text(base.get(key))})" for key in keys[:4]]
    return ", ".join(said) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers first, by size, then words."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return (not plain, float(value) if plain else 0.0, str(value))


def _text(value: Any) -> str:
    return MISSING if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "variant": row["variant"],
        "value": _text(row["value"]),
        "experiment": row["experiment"],
        "n": row["n"],
        "val": plus_minus(row["val_mean"], row["val_sd"], METRIC),
        "chosen": bool(row["chosen"]),
        "tied": f" ({row['chosen']}: validation does not tell them apart)" if row["chosen"] not in ("", "yes") else "",
        "test": plus_minus(row["test_mean"], row["test_sd"], METRIC) if row["test_mean"] is not None else "",
    }


def _chart(param: str, rows: list[dict[str, Any]], figures: Figures) -> Figure:
    """Mean and SD over seeds against the value; a line for each variant, the chosen value as a full square."""
    variants = list(dict.fromkeys(row["variant"] for row in rows))[:MANY]
    values = list(dict.fromkeys(row["value"] for row in rows))
    numeric = not any(_order(value)[0] for value in values)
    places = dict(zip(map(str, values), values if numeric else range(len(values)), strict=True))
    canvas = figures.canvas(5.4, 3.2)
    axes = canvas.subplots()
    for colour, variant in zip(COLOURS, variants, strict=False):
        own = [row for row in rows if row["variant"] == variant]
        x = [places[str(row["value"])] for row in own]
        y = [100 * row["val_mean"] for row in own]
        spread = [100 * (row["val_sd"] or 0.0) for row in own]
        axes.errorbar(x, y, spread, color=colour, lw=1.2, capsize=2, marker="o", mfc="none", ms=4, label=variant)
        axes.plot(*zip(*((a, b) for a, b, row in zip(x, y, own, strict=True) if row["chosen"]), strict=True),
                  "s", color=colour, ms=6)  # fmt: skip
    if numeric and min(values) > 0 and max(values) / min(values) >= 8:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(list(places.values()), [_text(value)[:14] for value in values], color=INK)
    axes.set_xlabel(param, color=MUTED)
    axes.set_ylabel("validation top-1 %", color=MUTED)
    axes.legend(fontsize=8)
    best = ", ".join(
        f"{row['variant']} {number(row['val_mean'], METRIC)} % at {_text(row['value'])}"
        for row in rows
        if row["chosen"]
    )
    return figures.add("sweep", canvas, f"Validation top-1 against {param}; the best: {best}.")


if __name__ == "__main__":
    errors.run(main)
