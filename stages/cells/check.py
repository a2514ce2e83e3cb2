"""Every section of params.yaml against the model of its stage, in one go, before anything long begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.aggregate.params import Aggregate
from stages.clean.params import Clean
from stages.core import rendered
from stages.core.errors import UserError
from stages.core.params import Section, section
from stages.evaluate.params import Evaluate
from stages.ingest.params import check_source
from stages.report.params import ReportParams
from stages.split.params import Split
from stages.train import params as train

if TYPE_CHECKING:
    from stages.core.params import Study

MODELS: dict[str, type[Section]] = {
    "clean": Clean,
    "split": Split,
    "evaluate": Evaluate,
    "aggregate": Aggregate,
    "report": ReportParams,
}


def check(study: Study) -> None:
    """Validate all of params.yaml.

    Raises:
        UserError: names the first wrong key and the nearest valid one.
    """
    try:
        rendered.check_paths(study.raw)
    except rendered.RefusedError as error:
        raise UserError(str(error)) from None
    check_source(study.raw["ingest"])
    for name, model in MODELS.items():
        section(model, study.raw[name], name)
    section(Split, study.raw["split"], "split").check(len(study.seeds))
    train.check(study)
