"""`python -m stages.report`: reports/index.html, report.md, figures/ and tables/, from the files in git."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import cells, errors, files
from stages.report import (
    caveats,
    data_page,
    evidence,
    galleries,
    page,
    predictions,
    published,
    results,
    training,
)

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures

INPUTS = ("params.yaml", "data/clean/ledger.csv", "data/clean/manifest.csv", "data/split/summary.json")


def provenance(found: StudyEvidence, _: Figures) -> dict[str, Any]:
    """The files, machines, libraries and weights behind the page; no commit and no time: the bytes come out again."""
    configs = found.configs
    splits = [str(cells.split_file(split["seeds"][0])) for split in found.splits]
    return {
        "inputs": [(name, files.sha256(Path(name))) for name in (*INPUTS, *splits, "reports/runs.csv")],
        "machines": list(dict.fromkeys(_words(one["machine"]) for one in configs.values() if "machine" in one)),
        "libraries": _words(found.audit["libraries"]),
        "weights": _weights(configs),
    }


def _weights(configs: dict[tuple[str, int], dict[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    """Each file of pretrained weights, and the variants that started from it."""
    used = {variant: config["weights"] for (variant, _), config in configs.items() if config.get("weights")}
    distinct = {str(weights): weights for weights in used.values()}
    return [(", ".join(v for v, weights in used.items() if weights == one), one) for one in distinct.values()]


def _words(value: Any) -> str:
    return ", ".join(f"{k} {_words(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


SECTIONS = (
    # The order of the page.
    results.RESULTS,
    results.VARIANCE,
    published.PUBLISHED,
    published.LEAK,
    data_page.SECTION,
    training.CURVES,
    predictions.CONFUSION,
    predictions.PER_CLASS,
    predictions.CALIBRATION,
    predictions.ROBUSTNESS,
    galleries.SAMPLES,
    galleries.GRADCAM,
    galleries.SUSPECTS,
    training.COST,
    training.SWEEPS,
    caveats.SECTION,
    page.Section("provenance", "Provenance", provenance),
)


def main() -> None:
    """Render the report of the study in the working folder."""
    page.write(evidence.read(), SECTIONS, evidence.REPORTS)


if __name__ == "__main__":
    errors.run(main)
