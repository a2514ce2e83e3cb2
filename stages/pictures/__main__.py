"""`python -m stages.pictures`: from results/, reports/suspects.csv and data/clean/images to reports/pictures."""

from __future__ import annotations

from pathlib import Path

from stages.core import cells, errors, files, params
from stages.pictures import inputs, samples
from stages.report.params import ReportParams

OUT = Path("reports/pictures")


def main() -> None:
    """Choose the pictures of the study and write them."""
    study = params.read()
    settings = params.section(ReportParams, study.raw["report"], "report")
    configs = {v: files.read_json(cells.train_folder(v, study.seeds[0]) / "config.json") for v in study.variants}
    trained = {v: config["cell"] for v, config in configs.items() if config["cell"]["model"]["name"] != "random"}
    with files.fresh_folder(OUT) as folder:
        samples.write(study, list(trained), settings, folder)
        inputs.write(trained, study.seeds[0], folder)


if __name__ == "__main__":
    errors.run(main)
