"""Everything that the page is made from, each file read once; all is in git, so a clone without data can render it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import pandas as pd

from stages.aggregate.params import Aggregate
from stages.core import cells, files, intact, params
from stages.core.cells import evaluate_folder, train_folder
from stages.core.metrics import FEWEST_GROUPS, equal_groups
from stages.report.page import MISSING, interval, plus_minus, within
from stages.report.params import ReportParams

if TYPE_CHECKING:
    from stages.core.params import Study

REPORTS, CLEAN = Path("reports"), Path("data/clean")
PICTURES = REPORTS / "pictures"


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
    """The committed files of one study; tables of cells have the columns `variant` and `seed`."""

    study: Study
    settings: ReportParams
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def variants(self) -> list[str]:
        """The variants in the order of params.yaml."""
        return list(self.study.variants)

    @cached_property
    def split(self) -> dict[str, Any]:
        """`data/split/summary.json`: the seed, the groups, and one split for all seeds or several of some seeds."""
        return dict(files.read_json(cells.SPLIT / "summary.json", cells.SplitSummary))

    @property
    def splits(self) -> list[dict[str, Any]]:
        """The splits of the study: their seeds, and their counts (part -> label -> images)."""
        return list(self.split["splits"])

    @cached_property
    def given(self) -> dict[str, dict[str, Any]]:
        """The parts of the split that were not drawn: val, test -> the `folder` or the `groups` of the part."""
        knobs = self.study.raw["split"]
        return {part: dict(knobs[part]) for part in ("val", "test") if isinstance(knobs.get(part), dict)}

    @property
    def several(self) -> bool:
        """Whether seeds have splits of their own."""
        return len(self.splits) > 1

    @cached_property
    def classes(self) -> list[str]:
        """Labels in class-index order."""
        return list(files.read_json(cells.SPLIT / "classes.json", list[str]))

    @cached_property
    def parts(self) -> list[pd.DataFrame]:
        """A table for each split of the study: `image_id` and `split` of every image that is in a part."""
        return [table(cells.split_file(split["seeds"][0]), text=True) for split in self.splits]

    @cached_property
    def places(self) -> list[dict[str, str]]:
        """Image -> part, for each split of the study."""
        return [dict(zip(parts["image_id"], parts["split"], strict=True)) for parts in self.parts]

    @cached_property
    def fixed(self) -> bool:
        """Whether all splits test the same images: a published test set."""
        return len({frozenset(parts[parts["split"] == "test"]["image_id"]) for parts in self.parts}) == 1

    @cached_property
    def held_out(self) -> float:
        """Images held out per training image, the mean over the splits: the ratio of the corrected resampled t-test."""
        pairs = zip(self.sizes("val" if self.fixed else "test"), self.sizes("train"), strict=True)
        return mean(held_out / trained for held_out, trained in pairs)

    @cached_property
    def named(self) -> bool:
        """Whether the source names groups of images (patients, sites); copies and named groups then form one group."""
        return "group" in self.ledger and bool((self.ledger["group"] != "").any())

    @cached_property
    def few_groups(self) -> int:
        """The number of groups in the test images of all splits if they are too few for intervals; else 0."""
        tested = {image for parts in self.parts for image in parts["image_id"][parts["split"] == "test"]}
        sizes = self.manifest[self.manifest["image_id"].isin(tested)]["group_id"].value_counts()
        return len(sizes) if (sizes > 1).any() and equal_groups(sizes.tolist()) < FEWEST_GROUPS else 0

    @cached_property
    def grouped(self) -> bool:
        """Whether copies and similar pictures were kept in one part of the split."""
        return bool(self.study.raw["split"].get("grouped", True)) and self.audit.get("duplicates") != "ignore"

    def images(self, split: str) -> int:
        """The number of images in a part; over several splits the rounded mean."""
        sizes = self.sizes(split)
        return round(sum(sizes) / len(sizes))

    def sizes(self, split: str) -> list[int]:
        """The number of images in a part, for each split of the study."""
        return [sum(found["counts"][split].values()) for found in self.splits]

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """A row for every file of the source."""
        return table(CLEAN / "ledger.csv", text=True)

    @cached_property
    def path_of(self) -> dict[str, str]:
        """Image -> its path in the source."""
        return dict(zip(self.ledger["image_id"], self.ledger["path"], strict=True))

    @cached_property
    def audit(self) -> dict[str, Any]:
        """`data/clean/audit.json`."""
        return dict(files.read_json(CLEAN / "audit.json"))

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """A row for every image that was kept."""
        return table(CLEAN / "manifest.csv", text=True)

    @cached_property
    def group_of(self) -> dict[str, str]:
        """Image -> its group of copies, similar pictures and images of one named group."""
        return dict(zip(self.manifest["image_id"], self.manifest["group_id"], strict=True))

    @cached_property
    def runs(self) -> pd.DataFrame:
        """variant, seed, split, metric, value."""
        return table(REPORTS / "runs.csv")

    @cached_property
    def summary(self) -> dict[tuple[str, str, str], MetricSummary]:
        """(variant, split, metric) -> the row of `reports/summary.csv`."""
        return {
            (row["variant"], row["split"], row["metric"]): MetricSummary(
                int(row["n"]), float(row["mean"]), *(_number(row[key]) for key in ("sd", "ci_low", "ci_high"))
            )
            for row in files.read_rows(REPORTS / "summary.csv", ("n", "mean", "sd", "ci_low", "ci_high"))
        }

    @cached_property
    def comparisons(self) -> list[dict[str, str]]:
        """The rows of `reports/comparisons.csv`: the paired differences, one row for each pair of variants."""
        return files.read_rows(REPORTS / "comparisons.csv")

    @cached_property
    def intervals(self) -> dict[str, dict[str, float | None]]:
        """Variant -> its row of `reports/intervals.csv`: the compared metric on the test set with its intervals."""
        rows = files.read_rows(REPORTS / "intervals.csv", INTERVALS)
        return {row["variant"]: {key: _number(row[key]) for key in INTERVALS} for row in rows}

    @property
    def means(self) -> dict[str, float]:
        """Variant -> its mean of the compared metric on the test set."""
        return {variant: found["mean"] or 0.0 for variant, found in self.intervals.items()}

    @property
    def test_top1(self) -> dict[str, float]:
        """Variant -> its mean top-1 on the test set."""
        return {variant: self.summary[variant, "test", "top1"].mean for variant in self.variants}

    @cached_property
    def digits(self) -> int:
        """Decimals of a percentage: fewer than a thousand test images do not support a second one."""
        return 2 if self.images("test") >= 1000 else 1

    @cached_property
    def aggregate(self) -> Aggregate:
        """The section `aggregate` of params.yaml."""
        return params.section(Aggregate, self.study.raw["aggregate"], "aggregate")

    @cached_property
    def metric(self) -> str:
        """The metric by which variants are ranked and compared: `aggregate.compare`."""
        return self.aggregate.compare

    @cached_property
    def margin(self) -> float:
        """The largest difference of two variants that are practically equal: `aggregate.margin`."""
        return self.aggregate.margin

    @cached_property
    def alpha(self) -> float:
        """The error rate of intervals and decisions: `aggregate.alpha`."""
        return self.aggregate.alpha

    @cached_property
    def confidence(self) -> str:
        """The confidence level of all intervals in words: "95 %"."""
        return f"{100 * (1 - self.alpha):g} %"

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

    @cached_property
    def recipes(self) -> dict[str, dict[str, Any]]:
        """Variant -> its settings as `train` used them; they are the same for all seeds."""
        return {variant: self.configs[variant, self.study.seeds[0]]["cell"] for variant in self.variants}

    @cached_property
    def trained(self) -> dict[str, dict[str, Any]]:
        """The recipes without the class prior, which is not trained: it has no epochs, no weights and no batches."""
        return {v: cell for v, cell in self.recipes.items() if cell.get("model", {}).get("name") != "random"}

    def shown(self, variant: str, split: str, metric: str, digits: int | None = None) -> dict[str, str]:
        """Mean ± SD over the seeds and the interval of the mean, as the page shows them.

        A metric that a cell does not have (top-5 of five classes) is a dash.
        """
        found, digits = self.summary.get((variant, split, metric)), self.digits if digits is None else digits
        if found is None:
            return {"value": MISSING, "interval": ""}
        ends = interval(*within(found.low, found.high, metric), metric, digits)
        return {"value": plus_minus(found.mean, found.sd, metric, digits), "interval": ends}

    def cells(self, name: str) -> pd.DataFrame:
        """A table that `evaluate` wrote for each cell, with the rows of all cells."""
        if name not in self._tables:
            parts = [
                table(evaluate_folder(variant, seed) / name).assign(variant=variant, seed=seed)
                for variant, seed in self.study.cells
            ]
            self._tables[name] = pd.concat(parts, ignore_index=True)
        return self._tables[name]


def read() -> StudyEvidence:
    """The evidence of the study in the working folder; its files are read when they are asked for.

    Raises:
        UserError: params.yaml is wrong.
    """
    study = params.read()
    return StudyEvidence(study, params.section(ReportParams, study.raw["report"], "report"))


def table(path: Path, *, text: bool = False) -> pd.DataFrame:
    """Read a CSV. Labels such as "NA" or "007" stay what they are: only number columns are parsed."""
    frame = files.read_frame(path)
    return frame if text else intact.numeric(path, frame, [name for name in frame.columns if name not in WORDS])


def _number(text: str) -> float | None:
    return float(text) if text else None


INTERVALS = (
    "images", "groups", "mean", "image_ci_low", "image_ci_high", "ci_low", "ci_high",
)  # fmt: skip
WORDS = (
    "variant", "variant_a", "variant_b", "a", "b", "split", "metric", "label", "predicted", "image_id", "transform",
)  # fmt: skip
