"""Build all 37 systems of the four studies, count their parameters, set results beside the published ones: systems.csv.

Run as `python -m studies.systems`, or `make systems`; the table in README.md is written from the same rows.
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
README = HERE / "README.md"
COLUMNS = (
    "id", "study", "params_total", "params_trainable", "recorded_total", "recorded_trainable", "equal",
    "class", "run", "variant", "data", "n", "metric", "mean", "sd", "published", "published_sd", "note",
)  # fmt: skip
# Where a system was run, besides its own study: the folder, and what of the data and the recipe it had.
RUNS = {
    **dict.fromkeys(("E0", "E1", "P1"), ("cifar10_full", "as published")),
    **dict.fromkeys(("E3", "P2", "P3"), ("cifar10_subset", "subset")),
    **dict.fromkeys(("E2", "E4", "E5", "E6", "P4"), ("cifar10_proof", "proof")),
    **{f"B{i}": ("bananas_proof", "proof") for i in range(1, 9)},
    **{f"U{i}": ("uecfood256_glyphs", "stand-in") for i in range(1, 19)},
}

# Structures that run with other pretrained weights: the study and its variant. Such a run comes before a proof.
OTHER_WEIGHTS = {
    **{system: ("bananas_pretrained_heads", f"head_{system}") for system in ("B1", "B3", "B5", "B7")},
    **{system: ("bananas_pretrained_heads", f"tuned_{system}") for system in ("B2", "B4", "B6", "B8")},
    **{system: ("cifar10_pretrained", f"{system}_32") for system in ("E4", "E5", "E6", "P4")},
}
# What a figure is worth, in the order of the first sentence of the table.
WORTH = ("as published", "other weights", "subset", "stand-in", "proof", "not run")

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
    files.write_text(README, with_table(README.read_text(encoding="utf-8"), rows))
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
    result = _result(published["study"], system)
    todo = _todo(published["study"], system, result)
    return {
        "id": system,
        "study": published["study"],
        "params_total": total,
        "params_trainable": trainable,
        "recorded_total": published["params_total"],
        "recorded_trainable": published["params_trainable"],
        "equal": ("yes" if all(equal) else "no") if equal else "not recorded",
        "class": result["data"].partition(":")[0],
        **result,
        "published": published["top1"],
        "published_sd": published["top1_sd"],
        "note": "; ".join(text for text in (*todo, NOTES.get(system), published["note"]) if text),
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


def _result(study: str, system: str) -> dict[str, Any]:
    """Where the system was run, on how many images, and mean and SD of the test accuracy over n seeds."""
    places = [(study, system, "as published")]
    if system in OTHER_WEIGHTS:
        places.append((*OTHER_WEIGHTS[system], "other weights"))
    if system in RUNS:
        folder, data = RUNS[system]
        places.append((folder, system, data))
    for folder, variant, data in places:
        place = HERE / folder
        if not (place / "reports/summary.csv").is_file():
            continue
        for line in files.read_rows(place / "reports/summary.csv"):
            if (line["variant"], line["split"], line["metric"]) == (variant, "test", "top1"):
                counts = files.read_json(place / "data/split/summary.json")["splits"][0]["counts"]
                images = ", ".join(f"{split} {sum(of.values()):,}" for split, of in counts.items())
                figures = {"metric": "top1", "mean": line["mean"], "sd": line["sd"]} if data != "proof" else {}
                return {"run": folder, "variant": variant, "data": f"{data}: {images}", "n": line["n"], **figures}
    return {"data": "not run"}


def _missing(study: str, cell: train.Cell) -> list[tuple[str, str]]:
    """What a run as published needs that is not in the repository, and where it is said how to get it."""
    needs = [("the data", "uecfood256/README.md")] if study == "uecfood256" else []
    if cell.model.name == "backbone":
        needs.append((f"the ImageNet weights of {cell.model.architecture}", "README.md"))
    return needs


def _todo(study: str, system: str, result: dict[str, Any]) -> list[str]:
    """What is different here, and what is missing for a run as published."""
    data = result["data"].partition(":")[0]
    said: list[str] = []
    if data == "as published":
        return said
    published = train.cell(_study(study), system)
    if data == "proof":
        random = ", random weights" if published.model.name == "backbone" else ""
        said.append(f"proof that it runs, with one epoch{random}: its figure says nothing")
    if data == "other weights":
        backbone = train.cell(_study(result["run"]), result["variant"]).model.model_dump()["architecture"]
        said.append(
            f"the same structure on {backbone}, whose weights are at hand; not comparable with the published figure"
        )
    if data == "stand-in":
        said.append(_stand_in(train.cell(_study(result["run"]), result["variant"]), published))
    if data == "subset":
        epochs = train.cell(_study(result["run"]), system).total_epochs
        if epochs != published.total_epochs:
            said.append(f"{epochs} epochs instead of {published.total_epochs}")
    if study == "uecfood256":
        said.append("runs on generated data in the layout of UECFOOD-256 (tests/studies/test_uecfood256.py)")
    if needs := [f"{what} ({where})" for what, where in _missing(study, published)]:
        said.append(f"not available here: {' and '.join(needs)}; then `make study STUDY={study}`")
    else:
        said.append(f"as published: `make study STUDY={study}`, on a GPU")
    return said


def _stand_in(here: train.Cell, published: train.Cell) -> str:
    """What a run on other pictures was."""
    size = f"{here.size} px" + f" instead of {published.size}" * (here.size != published.size)
    backbone = f", on {here.model.architecture}" if here.model.name == "backbone" else ""
    return (
        f"on drawn letters, digits and signs, at {size}{backbone}: shows what a change of the recipe buys there, says "
        "nothing about dishes, and is not comparable with the published figure"
    )


def with_table(text: str, rows: list[dict[str, Any]]) -> str:
    """The README with the table of systems between its two marks.

    Raises:
        UserError: a mark is missing.
    """
    begin, end = "<!-- systems -->\n", "<!-- /systems -->"
    if begin not in text or end not in text:
        raise UserError(f"{README}: the marks {begin.strip()} and {end} are missing, between which the table stands")
    lines = [_classes(rows), ""]
    lines += ["| system | parameters trained | published | here | class | run on |", "|---|---|---|---|---|---|"]
    for r in rows:
        here = _percent(r.get("mean"), r.get("sd"))
        seeds = f", {r['n']} seed{'s' * (r['n'] != '1')}" if r.get("n") else ""
        if "run" in r:
            images = r["data"].partition(": ")[2]
            variant = f" `{r['variant']}`" * (r["variant"] != r["id"])
            data = f"[{r['run']}]({r['run']}/README.md){variant}: {images}{seeds}"
        else:
            missing = _missing(r["study"], train.cell(_study(r["study"]), r["id"]))
            data = f"needs {' and '.join(what for what, _ in missing)}" if missing else ""
        theirs = _percent(r["published"], r["published_sd"])
        lines.append(f"| {r['id']} | {r['params_trainable']:,} | {theirs} | {here} | {r['class']} | {data} |")
    return text[: text.index(begin) + len(begin)] + "\n".join(lines) + "\n" + text[text.index(end) :]


def _classes(rows: list[dict[str, Any]]) -> str:
    """The first sentence of the table: how many systems have a figure of each class."""
    counts = {name: sum(row["class"] == name for row in rows) for name in WORTH}
    return f"Of {len(rows)} systems: " + ", ".join(f"{n} {name}" for name, n in counts.items() if n) + "."


def _percent(mean: str | None, sd: str | None) -> str:
    if not mean:
        return ""
    return f"{100 * float(mean):.2f}" + (f" ± {100 * float(sd):.2f}" if sd else "")


if __name__ == "__main__":
    errors.run(main)
