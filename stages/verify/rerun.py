"""Checks 2 and 3: things are made again in a scratch copy and compared with what was recorded.

How far apart may the same cells come out on two machines of different types? Another instruction set or device rounds
differently, and training carries the last bit of the first step into every weight: the same seed becomes, in effect,
another one. So the recorded figures and those of this machine are treated as two samples of seeds. Their means may
differ by t * SD * sqrt(1/n + 1/m), with SD the recorded SD over seeds, pooled over variants, and t of Student's
distribution at a family-wise level of 1 % (Bonferroni over all figures judged).
"""

from __future__ import annotations

import math
import re
import statistics
from typing import TYPE_CHECKING

from stages.core import cells as places
from stages.core import files, intact
from stages.verify import difference, lock, scratch
from stages.verify.certificate import Check, Finding, machine_words, machines

if TYPE_CHECKING:
    from pathlib import Path

    from stages.verify.scratch import Place

LEVEL = 0.01
SPLITS = ("val", "test")
METRICS = ("top1", "macro_f1", "nll")
CellName = tuple[str, int]
Values = dict[tuple[str, str], dict[str, list[float]]]  # (split, metric) -> variant -> one value per seed


def from_git(place: Place) -> Check:
    """Make again what reads and makes nothing but files in git: the tables and pages, and the split."""
    found = Check(
        "tables and pages",
        "the split, the tables and the report, made again from the files in git, are the same byte for byte",
    )
    with scratch.copy(place) as again:
        recorded = lock.read(again)
        away = lock.cached(again)
        stages = [
            stage
            for stage in recorded.order
            if "@" not in stage and stage != "ingest" and recorded.outs[stage]
            and not away & {*recorded.outs[stage], *recorded.deps[stage]}
        ]  # fmt: skip
        for stage in stages:
            for path in recorded.outs[stage]:
                scratch.remove(again.folder / path, again.root)
        _run(again, recorded, stages, 1, found)
        compare(place, again, recorded, stages, found)
        _forgive(place, again, recorded, found)
    return found


def from_raw(
    place: Place,
    cells: list[CellName] | None,
    source: str,
    *,
    jobs: int = 1,
    same_cpu: bool = True,
    refetched: bool = False,
) -> Check:
    """Run the study again, or only `cells` of it, from raw data with an empty cache, and compare every hash.

    Args:
        place: the study.
        cells: what to train and evaluate; None: everything, up to the report.
        source: `ingest.path` of params.yaml.
        jobs: how many stages that do not need each other may run side by side.
        same_cpu: whether the processor is of the model that the study was made with.
        refetched: whether the source is a list of addresses; then data/raw is where to begin, if it is here.
    """
    everything = cells is None
    with scratch.copy(place, source) as again:
        recorded = lock.read(again)
        chosen = _cells(recorded) if cells is None else cells
        names = [f"{stage}@{variant}-{seed}" for variant, seed in chosen for stage in ("train", "evaluate")]
        stages = [
            s for s in recorded.order
            if (s in names) or (recorded.outs[s] and "@" not in s and (everything or s in ("ingest", "clean", "split")))
        ]  # fmt: skip
        scope = "the whole study"
        if not everything:
            scope = f"the choice of {len(chosen)} cells ({', '.join(f'{v}-{s}' for v, s in chosen)})"
        found = Check("run again", f"{scope}, run again from raw data with an empty cache, gives every recorded hash")
        for name in names:
            if name not in recorded.outs:
                found.add(
                    name,
                    "missing",
                    "params.yaml asks for this cell, but dvc.lock does not have it, so it cannot be compared",
                )
        for path in recorded.made:
            scratch.remove(again.folder / path, again.root)
        (again.folder / "dvc.lock").unlink(missing_ok=True)
        if not (place.folder / source).exists() or (refetched and (place.folder / "data/raw").exists()):
            stages = _raw_from_cache(place, again, recorded, stages, found)
        if not stages:
            return found
        _run(again, recorded, stages, jobs, found)
        compare(place, again, recorded, stages, found)
        then, now = machines(place, chosen), machines(again, chosen)
        why = ""
        if now and then != now:
            why = f"another machine type (recorded on {machine_words(then)}, run again on {machine_words(now)})"
        elif not same_cpu and any(f.what.startswith("runs/") for f in found.findings):
            why = "another model of processor, whose bits differ"
        if why:
            _by_tolerance(place, again, found, _cells(recorded), chosen)
            found.notes.append(f"{why}: cells are judged by tolerance")
        else:
            _forgive(place, again, recorded, found)
    return found


def not_run(why: str) -> Check:
    """The entry of the certificate if no cell was trained."""
    return Check(
        "run again",
        "no cell was trained again, so a forgery in which files, dvc.lock, tables and pages agree would not be noticed",
        notes=[why],
    )


def compare(place: Place, again: Place, recorded: lock.Lock, stages: list[str], found: Check) -> None:
    """Every hash of `stages`, and every file in git that they make, against what `again` made."""
    new = lock.read(again)
    for stage in stages:
        if stage not in new.outs:
            found.add(stage, "missing", "the stage did not finish, so its outputs could not be compared")
            continue
        for path, md5 in recorded.outs[stage].items():
            found.compared += 1
            there, here = place.folder / path, again.folder / path
            if not here.exists():
                found.add(path, "missing", "the run did not make this file again")
                continue
            same = new.outs[stage].get(path) == md5
            if same and not there.exists():
                continue  # the recorded bytes are not on this machine, but their hash is the same
            kept = there if there.exists() else lock.cache_file(place, md5)
            words = difference.first(kept, here) if kept.exists() and kept.is_dir() == here.is_dir() else None
            if words is None and same:
                continue
            where = "" if same else f" (dvc.lock: {md5}, made again: {new.outs[stage].get(path, 'nothing')})"
            found.add(path, "different", (words or _unseen(kept, same=same)) + where)


def _unseen(kept: Path, *, same: bool) -> str:
    if kept.exists() and kept.suffix != ".dir" and not same:
        return "the file here and the file made again are the same, but dvc.lock recorded another hash"
    return (
        "another hash than recorded; the recorded bytes are not on this machine: `dvc pull` fetches them, and the "
        "difference can be named"
    )


def _run(again: Place, recorded: lock.Lock, stages: list[str], jobs: int, found: Check) -> None:
    if errors := scratch.run(again, recorded, stages, jobs, found.name):
        found.add("dvc repro", "different", "failed: " + " | ".join(errors[: scratch.SHOWN]))


def _raw_from_cache(place: Place, again: Place, recorded: lock.Lock, stages: list[str], found: Check) -> list[str]:
    """Begin with the `data/raw` that `dvc pull` brought, without the source; the stages that are left to run."""
    raw = place.folder / "data/raw"
    if not raw.exists():
        found.add(
            "data/raw", "not checked",
            "the raw data is missing: its source is not available, and the DVC remote was not pulled (`dvc pull "
            "data/raw`, which needs access to the remote); the checks that need no data were made",
        )  # fmt: skip
        return []
    if intact.md5(raw) != recorded.made.get("data/raw"):
        found.add("data/raw", "different", "this is not the raw data that dvc.lock recorded")
    target = again.folder / "data/raw"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(raw.resolve())
    found.notes.append("the source was not read; the run began with the present data/raw")
    return [stage for stage in stages if stage != "ingest"]


def _by_tolerance(place: Place, again: Place, found: Check, study: list[CellName], chosen: list[CellName]) -> None:
    """On another machine type only the data must come out to the byte; the cells' metrics are judged by tolerance."""
    data = [
        f for f in found.findings
        if not f.what.startswith(("results/", "runs/", "reports/")) or f.verdict == "missing"
        or (f.what == "reports/clean" and not difference.close(place.folder / f.what, again.folder / f.what))
    ]  # fmt: skip
    found.findings = data + judge(place, again, study, chosen)


def _forgive(place: Place, again: Place, recorded: lock.Lock, found: Check) -> None:
    """The last digit of a table and the last grey level of a picture depend on the processor; tensors must be equal."""
    for number, finding in enumerate(found.findings):
        there, here = place.folder / finding.what, again.folder / finding.what
        if not there.exists() or not here.exists() or intact.md5(there) != recorded.made.get(finding.what):
            continue  # the bytes are not the recorded ones, so rounding is not the cause
        if difference.close(there, here):
            found.findings[number] = Finding(
                finding.what,
                "within tolerance",
                f"equal except for rounding, as between two processors: {finding.detail}",
            )


def _cells(recorded: lock.Lock) -> list[CellName]:
    found = (re.fullmatch(r"train@(.+)-(\d{1,19})", stage) for stage in recorded.outs)
    return [(cell[1], int(cell[2])) for cell in found if cell]


def judge(place: Place, scratch: Place, study: list[CellName], again: list[CellName]) -> list[Finding]:
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
        return Finding(what, "not checked", "recorded with one seed, so there is no SD over seeds and no tolerance")
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


def _values(place: Place, cells: list[CellName]) -> Values:
    values: Values = {}
    for variant, seed in cells:
        path = place.folder / places.evaluate_folder(variant, seed) / "metrics.csv"
        for row in files.read_rows(path) if path.exists() else []:
            if row["split"] in SPLITS and row["metric"] in METRICS:
                values.setdefault((row["split"], row["metric"]), {}).setdefault(variant, []).append(float(row["value"]))
    return values
