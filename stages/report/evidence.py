"""Everything the page is made from, read once. Only files that live in git: a clone without data can render it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from stages.core import cells, files, intact, params
from stages.core.cells import evaluate_folder, train_folder
from stages.core.errors import UserError
from stages.report.params import ReportParams

if TYPE_CHECKING:
    from stages.core.params import Study

REPORTS, CLEAN = Path("reports"), Path("data/clean")
SPLITS = ("train", "val", "test")
CLASSES, SPLIT_SUMMARY = cells.SPLIT / "classes.json", cells.SPLIT / "summary.json"
DATA_FILES = (CLEAN / "ledger.csv", CLEAN / "manifest.csv", CLEAN / "audit.json", CLASSES, SPLIT_SUMMARY)
TABLES = (
    "runs.csv", "summary.csv", "comparisons.csv", "intervals.csv", "variance.csv", "curves.csv", "fit.csv",
    "suspects.csv", "agreement.csv",
)  # fmt: skip
CELL_FILES = (
    "per_class.csv", "confusion.csv", "calibration.csv", "robustness.csv", "cost.json", "samples.json", "gradcam.json",
)  # fmt: skip


@dataclass(frozen=True)
class MetricSummary:
    """A metric over the seeds: sample SD and 95 % t-interval are None where one seed gives none."""

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class StudyEvidence:
    """The committed files of one study, as frames; cell tables carry `variant` and `seed`."""

    study: Study
    settings: ReportParams
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def variants(self) -> list[str]:
        """The variants in the order of params.yaml."""
        return list(self.study.variants)

    @cached_property
    def split(self) -> dict[str, Any]:
        """`data/split/summary.json`: seed, groups, and splits, one for all seeds or one for some of them."""
        return dict(files.read_json(SPLIT_SUMMARY, cells.Summary))

    @cached_property
    def classes(self) -> list[str]:
        """Labels in class-index order."""
        return list(files.read_json(CLASSES, list[str]))

    @cached_property
    def parts(self) -> list[pd.DataFrame]:
        """image_id, split of every image that is in a part; a table for each split of the study."""
        return [table(cells.split_file(split["seeds"][0]), text=True) for split in self.split["splits"]]

    @cached_property
    def places(self) -> list[dict[str, str]]:
        """Image -> part, for each split of the study."""
        return [dict(zip(parts["image_id"], parts["split"], strict=True)) for parts in self.parts]

    @cached_property
    def fixed(self) -> bool:
        """Whether all splits test the same images: a published test set."""
        return len({frozenset(parts[parts["split"] == "test"]["image_id"]) for parts in self.parts}) == 1

    @cached_property
    def named(self) -> bool:
        """Whether groups of images were named with the source (patients, sites): they are joined with copies then."""
        return "group" in self.ledger and bool((self.ledger["group"] != "").any())

    @property
    def grouped(self) -> bool:
        """Whether copies and similar pictures were kept in one part of the split."""
        return bool(self.study.raw["split"].get("grouped", True)) and self.audit.get("duplicates") != "ignore"

    def images(self, split: str) -> int:
        """How many images a part holds; where seeds have splits of their own, the mean, which duplicate groups move."""
        sizes = self.sizes(split)
        return round(sum(sizes) / len(sizes))

    def sizes(self, split: str) -> list[int]:
        """How many images a part holds, in each split of the study."""
        return [sum(found["counts"][split].values()) for found in self.split["splits"]]

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """A row for every file that came in."""
        return table(CLEAN / "ledger.csv", text=True)

    @cached_property
    def audit(self) -> dict[str, Any]:
        """`data/clean/audit.json`."""
        return dict(files.read_json(CLEAN / "audit.json"))

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """A row for every image that was kept."""
        return table(CLEAN / "manifest.csv", text=True)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """variant, seed, split, metric, value."""
        return table(REPORTS / "runs.csv")

    @cached_property
    def summary(self) -> dict[tuple[str, str, str], MetricSummary]:
        """(variant, split, metric) -> what `reports/summary.csv` says."""
        return {
            (row["variant"], row["split"], row["metric"]): MetricSummary(
                int(row["n"]), float(row["mean"]), *(_number(row[key]) for key in ("sd", "ci_low", "ci_high"))
            )
            for row in files.read_rows(REPORTS / "summary.csv", ("n", "mean", "sd", "ci_low", "ci_high"))
        }

    @cached_property
    def comparisons(self) -> list[dict[str, str]]:
        """Paired differences between variants, a row a pair."""
        return files.read_rows(REPORTS / "comparisons.csv")

    @cached_property
    def intervals(self) -> dict[str, dict[str, float | None]]:
        """Variant -> the compared metric on the test set and its intervals, as intervals.csv has them."""
        rows = files.read_rows(REPORTS / "intervals.csv", INTERVALS)
        return {row["variant"]: {key: _number(row[key]) for key in INTERVALS} for row in rows}

    @property
    def digits(self) -> int:
        """Decimals of a percentage: a second one means nothing below about a thousand test images."""
        return 2 if self.images("test") >= 1000 else 1

    @property
    def metric(self) -> str:
        """What variants are ranked and compared by, as aggregate was told beforehand."""
        return str(self.study.raw["aggregate"].get("compare", "top1"))

    @property
    def margin(self) -> float:
        """Within which two variants are practically equal, as aggregate was told."""
        return float(self.study.raw["aggregate"].get("margin", 0.01))

    @property
    def alpha(self) -> float:
        """The level of intervals and decisions, as aggregate was told."""
        return float(self.study.raw["aggregate"].get("alpha", 0.05))

    @cached_property
    def curves(self) -> pd.DataFrame:
        """variant, seed, epoch, split, loss, top1."""
        return table(REPORTS / "curves.csv")

    @cached_property
    def configs(self) -> dict[tuple[str, int], dict[str, Any]]:
        """`config.json` of every cell."""
        return {
            (variant, seed): dict(files.read_json(train_folder(variant, seed) / "config.json"))
            for variant, seed in self.study.cells
        }

    def cells(self, name: str) -> pd.DataFrame:
        """One table of evaluate, all cells below each other."""
        if name not in self._tables:
            parts = [
                table(evaluate_folder(variant, seed) / name).assign(variant=variant, seed=seed)
                for variant, seed in self.study.cells
            ]
            self._tables[name] = pd.concat(parts, ignore_index=True)
        return self._tables[name]


def read() -> StudyEvidence:
    """The evidence of the study in the working folder.

    Raises:
        UserError: params.yaml is wrong, or files are missing.
    """
    study = params.read()
    _check(study)
    return StudyEvidence(study, params.section(ReportParams, study.raw["report"], "report"))


def _check(study: Study) -> None:
    """Before anything is drawn: a page with a hole in it would be worse than none."""
    wanted = [*DATA_FILES, *(REPORTS / name for name in TABLES)]
    wanted += [cells.split_file(seed) for seed in study.seeds]
    for variant, seed in study.cells:
        wanted += [train_folder(variant, seed) / "config.json", evaluate_folder(variant, seed) / "inputs.json"]
        wanted += [evaluate_folder(variant, seed) / name for name in CELL_FILES]
    missing = [str(path) for path in wanted if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"missing: {', '.join(missing[:3])}{more}; `dvc repro` makes these files, and a clone has them from git"
        )


def table(path: Path, *, text: bool = False) -> pd.DataFrame:
    """Read a CSV. Labels such as "NA" or "007" stay what they are: only number columns are parsed."""
    frame = files.read_frame(path)
    return frame if text else intact.numeric(path, frame, [name for name in frame.columns if name not in WORDS])


def _number(text: str) -> float | None:
    return float(text) if text else None


INTERVALS = (
    "images", "groups", "mean", "image_ci_low", "image_ci_high", "ci_low", "ci_high", "run_low", "run_high",
)  # fmt: skip
WORDS = (
    "variant", "variant_a", "variant_b", "a", "b", "split", "metric", "label", "predicted", "image_id", "transform",
)  # fmt: skip
