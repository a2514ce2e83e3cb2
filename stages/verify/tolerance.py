"""Two machines of different types: how far apart may the same cells come out?

Another instruction set or device rounds differently, and training carries the last bit of the first step into every
weight: the same seed becomes, in effect, another one. So the recorded figures and those of this machine are treated as
two samples of seeds. Their means may differ by t * SD * sqrt(1/n + 1/m), with SD the recorded SD over seeds, pooled
over variants, and t of Student's distribution at a family-wise level of 1 % (Bonferroni over all figures judged).
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from stages.core import cells as places
from stages.core import files
from stages.verify.result import Finding

if TYPE_CHECKING:
    from stages.verify.scratch import Place

LEVEL = 0.01
SPLITS = ("val", "test")
METRICS = ("top1", "macro_f1", "nll")
Cell = tuple[str, int]
Values = dict[tuple[str, str], dict[str, list[float]]]  # (split, metric) -> variant -> one value per seed


def machines(place: Place, cells: list[Cell]) -> list[dict[str, str]]:
    """The machine types that train wrote down for cells, each once."""
    found: list[dict[str, str]] = []
    for variant, seed in cells:
        path = place.folder / places.train_folder(variant, seed) / "config.json"
        machine = files.read_json(path)["machine"] if path.exists() else None
        if machine and machine not in found:
            found.append(machine)
    return found


def words(machines: list[dict[str, str]]) -> str:
    """Machine types for a reader."""
    return "; ".join(
        ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items() if value) for machine in machines
    )


def judge(place: Place, scratch: Place, study: list[Cell], again: list[Cell]) -> list[Finding]:
    """Hold the metrics of the cells run `again` in `scratch` against those recorded of all cells of the `study`."""
    recorded, new = _values(place, study), _values(scratch, again)
    wanted = [(key, variant) for key in new for variant in new[key] if variant in recorded.get(key, {})]
    first = files.read_json(place.folder / "data/split/summary.json")["splits"][0]
    images = {split: sum(counts.values()) for split, counts in first["counts"].items()}
    return [
        _one(key, variant, recorded[key], new[key][variant], len(wanted), images[key[0]]) for key, variant in wanted
    ]


def _one(
    key: tuple[str, str], variant: str, recorded: dict[str, list[float]], new: list[float], family: int, images: int
) -> Finding:
    split, metric = key
    old, freedom = recorded[variant], sum(len(values) - 1 for values in recorded.values())
    what = f"{variant}: {split} {metric}"
    if not freedom:
        return Finding(what, "not checked", "recorded with one seed: no SD over seeds, so no tolerance can be stated")
    from scipy import stats

    pooled = math.sqrt(sum((len(v) - 1) * statistics.variance(v) for v in recorded.values() if len(v) > 1) / freedom)
    # A metric moves in steps: the SD of few seeds can be 0 though the next one differs by an image.
    step = 1 / images if metric != "nll" else 1e-3 * statistics.fmean(old)
    allowed = (
        float(stats.t.ppf(1 - LEVEL / 2 / family, freedom)) * max(pooled, step) * math.sqrt(1 / len(old) + 1 / len(new))
    )
    gap = abs(statistics.fmean(new) - statistics.fmean(old))
    words = (
        f"recorded {statistics.fmean(old):.5g} ({len(old)} seeds), now {statistics.fmean(new):.5g} ({len(new)}): "
        f"{gap:.3g} apart, {allowed:.3g} allowed by an SD over seeds of {pooled:.3g}"
    )
    return Finding(what, "within tolerance" if gap <= allowed else "different", words)


def _values(place: Place, cells: list[Cell]) -> Values:
    values: Values = {}
    for variant, seed in cells:
        path = place.folder / places.evaluate_folder(variant, seed) / "metrics.csv"
        for row in files.read_rows(path) if path.exists() else []:
            if row["split"] in SPLITS and row["metric"] in METRICS:
                values.setdefault((row["split"], row["metric"]), {}).setdefault(variant, []).append(float(row["value"]))
    return values
