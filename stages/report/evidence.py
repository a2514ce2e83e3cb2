"""Everything the page is made from, read once. Only files that live in git: a clone without data can render it."""

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
from stages.report.params import ReportParams
from stages.report.wording import MISSING, interval, plus_minus, within

if TYPE_CHECKING:
    from stages.core.params import Study

REPORTS, CLEAN = Path("reports"), Path("data/clean")
SPLITS = ("train", "val", "test")
CLASSES, SPLIT_SUMMARY = cells.SPLIT / "classes.json", cells.SPLIT / "summary.json"


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

    @property
    def splits(self) -> list[dict[str, Any]]:
        """The splits of the study with their seeds and counts, part -> label -> images."""
        return list(self.split["splits"])

    @cached_property
    def given(self) -> dict[str, dict[str, Any]]:
        """The parts of the split that were not drawn: val, test -> the `folder` or the `groups` that it is."""
        knobs = self.study.raw["split"]
        return {part: dict(knobs[part]) for part in ("val", "test") if isinstance(knobs.get(part), dict)}

    @property
    def several(self) -> bool:
        """Whether seeds have splits of their own."""
        return len(self.splits) > 1

    @cached_property
    def classes(self) -> list[str]:
        """Labels in class-index order."""
        return list(files.read_json(CLASSES, list[str]))

    @cached_property
    def parts(self) -> list[pd.DataFrame]:
        """image_id, split of every image that is in a part; a table for each split of the study."""
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
        """Images held out of training for each image trained on, in the mean over the splits."""
        pairs = zip(self.sizes("val" if self.fixed else "test"), self.sizes("train"), strict=True)
        return mean(held_out / trained for held_out, trained in pairs)

    @cached_property
    def named(self) -> bool:
        """Whether groups of images were named with the source (patients, sites): they are joined with copies then."""
        return "group" in self.ledger and bool((self.ledger["group"] != "").any())

    @cached_property
    def few_groups(self) -> int:
        """How many groups the test images of all splits belong to, where those are too few; else 0."""
        tested = {image for parts in self.parts for image in parts["image_id"][parts["split"] == "test"]}
        sizes = self.manifest[self.manifest["image_id"].isin(tested)]["group_id"].value_counts()
        return len(sizes) if (sizes > 1).any() and equal_groups(sizes.tolist()) < FEWEST_GROUPS else 0

    @cached_property
    def grouped(self) -> bool:
        """Whether copies and similar pictures were kept in one part of the split."""
        return bool(self.study.raw["split"].get("grouped", True)) and self.audit.get("duplicates") != "ignore"

    def images(self, split: str) -> int:
        """How many images a part holds; where seeds have splits of their own, the mean, which duplicate groups move."""
        sizes = self.sizes(split)
        return round(sum(sizes) / len(sizes))

    def sizes(self, split: str) -> list[int]:
        """How many images a part holds, in each split of the study."""
        return [sum(found["counts"][split].values()) for found in self.splits]

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

    @cached_property
    def digits(self) -> int:
        """Decimals of a percentage: a second one means nothing below about a thousand test images."""
        return 2 if self.images("test") >= 1000 else 1

    @cached_property
    def aggregate(self) -> Aggregate:
        """The settings of aggregate."""
        return params.section(Aggregate, self.study.raw["aggregate"], "aggregate")

    @cached_property
    def metric(self) -> str:
        """What variants are ranked and compared by, as aggregate was told beforehand."""
        return self.aggregate.compare

    @cached_property
    def margin(self) -> float:
        """Within which two variants are practically equal, as aggregate was told."""
        return self.aggregate.margin

    @cached_property
    def alpha(self) -> float:
        """The level of intervals and decisions, as aggregate was told."""
        return self.aggregate.alpha

    @cached_property
    def confidence(self) -> str:
        """The level of all intervals: "95 %"."""
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
        """Variant -> its settings as train used them; all of its seeds have the same."""
        return {variant: self.configs[variant, self.study.seeds[0]]["cell"] for variant in self.variants}

    @cached_property
    def trained(self) -> dict[str, dict[str, Any]]:
        """The recipes less those that are not trained: the class prior has no epochs, no weights and no batches."""
        return {v: cell for v, cell in self.recipes.items() if cell.get("model", {}).get("name") != "random"}

    def shown(self, variant: str, split: str, metric: str, digits: int | None = None) -> dict[str, str]:
        """Mean ± SD over the seeds and the interval of the mean, as the page shows them.

        A metric that is undefined for a split (AUROC of one class) is a dash.
        """
        found, digits = self.summary.get((variant, split, metric)), self.digits if digits is None else digits
        if found is None:
            return {"value": MISSING, "interval": ""}
        ends = interval(*within(found.low, found.high, metric), metric, digits)
        return {"value": plus_minus(found.mean, found.sd, metric, digits), "interval": ends}

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
    "images", "groups", "mean", "image_ci_low", "image_ci_high", "ci_low", "ci_high", "run_low", "run_high",
)  # fmt: skip
WORDS = (
    "variant", "variant_a", "variant_b", "a", "b", "split", "metric", "label", "predicted", "image_id", "transform",
)  # fmt: skip
