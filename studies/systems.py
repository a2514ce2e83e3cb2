"""Build all 37 systems of the four studies, count their parameters, set results beside the published ones: systems.csv.

Run as `python -m studies.systems`, or `make systems`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import console, errors, files, params
from stages.core.errors import UserError
from stages.train import params as train
from stages.train import zoo

if TYPE_CHECKING:
    from stages.core.params import Study

HERE = Path(__file__).parent
PUBLISHED = HERE / "published.csv"  # what the studies report, in fractions and seconds; empty where they do not say
SYSTEMS = HERE / "systems.csv"
CLASSES = {"bananas": 3, "uecfood256": 256, "cifar10_en": 10, "cifar10_fa": 10}
COLUMNS = (
    "id", "study", "params_total", "params_trainable", "recorded_total", "recorded_trainable", "equal",
    "n", "top1", "top1_sd", "images", "published_top1", "published_sd", "note",
)  # fmt: skip

# Why a count differs from the recorded one, or what the recorded one leaves out.
_FROZEN = "recorded without the frozen backbone"
NOTES = {
    "B4": "2,048 fewer: conv5_block3_3_conv has a bias for each of its 2,048 filters in Keras and none in timm; "
    + _FROZEN,
    "B8": _FROZEN + "; the scale of batch norm, which Keras' InceptionV3 does not have, stays frozen at its value",
    "E0": "no parameters",
    "P2": "architecture not published; built as E2",
    "P3": "architecture not published; built as E3",
    "P4": "classifier and frozen part not published; 512-256-128-10, the first 19 layers of the features frozen",
    **dict.fromkeys(("B1", "B2", "B3", "B5", "B6", "B7", "E5", "E6", "U17", "U18"), _FROZEN),
    "E4": _FROZEN + " and without the first layer of the head, which keeps its random weights",
}


def main() -> None:
    """Write systems.csv.

    Raises:
        UserError: a count differs from the recorded one and nothing explains it.
    """
    rows = [row(published) for published in console.progress(files.read_rows(PUBLISHED), desc="systems")]
    files.write_rows(SYSTEMS, COLUMNS, rows)
    different = [r["id"] for r in rows if r["equal"] == "no"]
    unexplained = [system for system in different if system not in NOTES]
    if unexplained:
        raise UserError(f"{SYSTEMS}: unlike the published count, without a reason: {', '.join(unexplained)}")
    recorded = sum(r["equal"] != "not recorded" for r in rows)
    console.say(
        f"{len(rows)} systems built; of {recorded} with a recorded count {recorded - len(different)} are equal to it, "
        f"{len(different)} explained ({', '.join(different)})"
    )


def row(published: dict[str, str]) -> dict[str, Any]:
    """One line of systems.csv: the system built, counted, and its results here where it was run."""
    system = published["system"]
    total, trainable = count(published["study"], system)
    pairs = [(published["params_total"], total), (published["params_trainable"], trainable)]
    equal = [int(recorded) == built for recorded, built in pairs if recorded]
    return {
        "id": system,
        "study": published["study"],
        "params_total": total,
        "params_trainable": trainable,
        "recorded_total": published["params_total"],
        "recorded_trainable": published["params_trainable"],
        "equal": ("yes" if all(equal) else "no") if equal else "not recorded",
        **_result(published["study"], system),
        "published_top1": published["top1"],
        "published_sd": published["top1_sd"],
        "note": "; ".join(text for text in (NOTES.get(system), published["note"]) if text),
    }


def count(study: str, system: str) -> tuple[int, int]:
    """Parameters of a system as its study's params.yaml defines it: all, and those trained."""
    cell = train.cell(_study(study), system)
    model = cell.model
    if model.name == "backbone":  # pretrained or not, the network is the same
        model = model.model_copy(update={"weights": "none"})
    return zoo.counts(zoo.build(model, CLASSES[study], cell.size, seed=0))


@functools.cache
def _study(name: str) -> Study:
    return params.read(HERE / name / params.FILE)


def _result(study: str, system: str) -> dict[str, str | None]:
    """Seeds, mean and SD of the test accuracy, and the images of each split; empty where it was not run."""
    empty = dict.fromkeys(("n", "top1", "top1_sd", "images"))
    summary = HERE / study / "reports/summary.csv"
    if not summary.is_file():
        return empty
    for line in files.read_rows(summary):
        if (line["variant"], line["split"], line["metric"]) == (system, "test", "top1"):
            counts = files.read_json(HERE / study / "data/split/summary.json")["splits"][0]["counts"]
            images = " ".join(f"{split} {sum(of.values())}" for split, of in counts.items())
            return {"n": line["n"], "top1": line["mean"], "top1_sd": line["sd"], "images": images}
    return empty


if __name__ == "__main__":
    errors.run(main)
