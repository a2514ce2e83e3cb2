"""What the settings imply: which were varied, what was chosen on which images, which comparisons are unfair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report import findings
from stages.report import training as knobs
from stages.report.section import Section
from stages.report.wording import names, plural, span

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures


FITTED = ("featurewise", "zca")  # steps of normalisation that learn from images
UNBALANCED = 3  # times as many test images in the largest class as in the smallest
MOST_CLASSES = 10  # that are named
SPEED = ("threads", "channels_last")  # they change the time and the rounding, not the recipe
SCALES = {"loss.label_smoothing": "label smoothing", "loss.class_weights": "class weights"}


def build(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """Varied and fixed settings, and caveats in words."""
    settings = {variant: knobs.resolved(evidence)[variant] for variant in knobs.trained(evidence)}
    varied = knobs.varied(settings)
    first = next(iter(settings.values()), {})
    return {
        "variants": list(settings),
        "keys": varied,
        "varied": [(v, [knobs.text(settings[v].get(key)) for key in varied]) for v in settings],
        "fixed": [(key, knobs.text(first.get(key))) for key in knobs.keys(settings) if key not in varied],
        "every": every(evidence, "all"),
        "unfair": unfair(evidence, varied),
        "notes": [*_seeds(evidence), *_data(evidence), *_tuning(evidence)],
    }


def unfair(evidence: StudyEvidence, varied: list[str]) -> list[str]:
    """Comparisons that the page shows side by side and that are not like for like."""
    found = []
    ran = {variant: epochs(evidence, variant) for variant in knobs.trained(evidence)}
    if len(set(ran.values())) > 1:
        listed = ", ".join(f"{variant} {number}" for variant, number in ran.items())
        found.append(
            f"Variants were not trained for the same number of epochs ({listed}); a difference may come from that."
        )
    if losses := [name for key, name in SCALES.items() if key in varied]:
        found.append(
            f"Variants differ in {names(losses)}: their losses are not on one scale; compare NLL or accuracy instead."
        )
    parts = list(dict.fromkeys(key.split(".")[0] for key in varied if key not in SPEED))
    if "epochs" in parts and len(set(ran.values())) == 1 and len(set(map(_planned, _cells(evidence).values()))) == 1:
        parts.remove("epochs")  # written as one number or as phases of the same sum
    if len(parts) > 1:
        found.append(
            f"Variants differ in {names(parts)}. If two variants differ in several of these, this study cannot say "
            "which of them is the cause."
        )
    return found


def _seeds(evidence: StudyEvidence) -> list[str]:
    seeds = len(evidence.study.seeds)
    listed = ", ".join(map(str, evidence.study.seeds))
    trained = knobs.trained(evidence)
    idle = [variant for variant in evidence.variants if variant not in trained]
    verbs = ("is", "gives") if len(idle) == 1 else ("are", "give")
    prior = f"not trained and {verbs[1]} every image the shares of the classes in the training set"
    found = [f"{names(idle)} {verbs[0]} {prior}."] if idle else []
    if trained:
        found.append(
            f"{every(evidence, 'every').capitalize()} was trained with {plural(seeds, 'seed')} ({listed}). A seed "
            f"changes {names(changed(evidence))}{_split_varied(evidence)}."
        )
    if seeds == 1:
        found.append("One seed shows no variation, so there is no standard deviation and no interval over seeds.")
    elif seeds < 5:
        found.append(f"{seeds} seeds give wide intervals.")
    return found


def every(evidence: StudyEvidence, word: str) -> str:
    """`every variant`, or `every trained variant` where there is one that is not trained; so with `all variants`."""
    trained = "" if len(knobs.trained(evidence)) == len(evidence.variants) else "trained "
    return f"{word} {trained}variant{'s' if word == 'all' else ''}"


def changed(evidence: StudyEvidence) -> list[str]:
    """What a seed draws; augmentation where there is one that is not cached for all seeds."""
    settings = _cells(evidence)
    drawn = {
        "the augmentation": [v for v, cell in settings.items() if augments(cell) and not cell.get("views")],
        "dropout": [v for v, cell in settings.items() if drops(cell.get("model"))],
    }
    found = [what + ("" if len(who) == len(settings) else f" of {names(who)}") for what, who in drawn.items() if who]
    return ["the initial weights", "the order of the images", *found]


def drops(settings: Any) -> bool:
    """Whether a network, or a part of it, has a dropout above 0."""
    if isinstance(settings, dict):
        return any(_rate(value) if key == "dropout" else drops(value) for key, value in settings.items())
    return isinstance(settings, list) and any(drops(value) for value in settings)


def _rate(value: Any) -> bool:
    return any(value) if isinstance(value, list) else bool(value)


def augments(cell: dict[str, Any]) -> bool:
    """Whether a cell's pictures are changed before the network gets them."""
    augment = cell.get("augment")
    return any(augment.values()) if isinstance(augment, dict) else augment not in (None, "none")


def _cells(evidence: StudyEvidence) -> dict[str, dict[str, Any]]:
    """The resolved settings of each trained variant."""
    return {v: dict(evidence.configs[v, evidence.study.seeds[0]]["cell"]) for v in knobs.trained(evidence)}


def _split_varied(evidence: StudyEvidence) -> str:
    splits = evidence.split["splits"]
    if len(splits) == 1:
        return ", but not the split"
    each = len(splits[0]["seeds"])
    return ", and the split" if each == 1 else f"; the split changes every {each} seeds"


def _data(evidence: StudyEvidence) -> list[str]:
    test = span(evidence.sizes("test"), "image")
    splits = len(evidence.split["splits"])
    sizes = f"one test set of {test}" if evidence.fixed else f"test sets of {test} each"
    found = [
        *findings.copies(evidence),
        *findings.late(evidence.audit),
        (
            f"All variants share the same {splits} splits (seed {evidence.split['seed']}), with "
            f"{sizes}, of one data set. Another data set would change all results."
            if splits > 1
            else f"All variants share one split (seed {evidence.split['seed']}) and one test set of {test}. "
            "Other test images or other training images would change all results."
        ),
        *([_fitted(evidence)] if knobs.trained(evidence) else []),
    ]
    return found + _absent(evidence) + _unbalanced(evidence)


def _absent(evidence: StudyEvidence) -> list[str]:
    """Classes of which some test set has no image."""
    splits = [split["counts"]["test"] for split in evidence.split["splits"]]
    missing = [label for label in splits[0] if not all(split.get(label) for split in splits)]
    if not missing:
        return []
    shown = names(missing if len(missing) <= MOST_CLASSES else [*missing[:MOST_CLASSES], "others"])
    where = "the test set" if len(splits) == 1 else "some test sets"
    return [
        (
            f"Without an image in {where}: {len(missing)} of {len(splits[0])} classes ({shown}). No figure says how "
            "well these are recognised there. Macro F1 and balanced accuracy are means over the classes that have "
            "test images, in all runs; macro precision and recall count such a class as 0 in the runs that name it."
        )
    ]


def _fitted(evidence: StudyEvidence) -> str:
    """Which statistics of normalisation were fitted, and on what."""
    seed = evidence.study.seeds[0]
    steps = {
        step["name"]
        for variant in knobs.trained(evidence)
        for step in evidence.configs[variant, seed].get("normalisation") or []
    }
    own = " Normalisation `samplewise` uses the mean and the SD of the image itself." if "samplewise" in steps else ""
    if fitted := sorted(steps & set(FITTED)):
        return f"Statistics for normalisation ({names(fitted)}) are fitted on the training set alone.{own}"
    if own:
        return f"No statistic for normalisation was fitted to a set of images in this study.{own}"
    whose = every(evidence, "all")
    return f"Normalisation uses fixed numbers in {whose}; no statistic was fitted to images in this study."


def _unbalanced(evidence: StudyEvidence) -> list[str]:
    """Whether top-1 is a poor choice of metric here."""
    splits = [split["counts"]["test"] for split in evidence.split["splits"]]
    counts = [n for label in splits[0] if (n := sum(split[label] for split in splits) / len(splits))]
    mean = ", on average over the splits" if len(splits) > 1 else ""
    if evidence.metric != "top1" or max(counts) < UNBALANCED * min(counts):
        return []
    return [
        (
            f"The largest class has {max(counts):,.10g} test images, the smallest {min(counts):,.10g}{mean}, so top-1 "
            "mainly reflects the large classes. `aggregate.compare: balanced_accuracy` gives every class the same "
            "weight."
        )
    ]


def _tuning(evidence: StudyEvidence) -> list[str]:
    settings = _cells(evidence)
    uses = {
        "the epoch whose weights are kept": [
            v for v, c in settings.items() if str(c.get("checkpoint", "")).startswith("best")
        ],
        "when training stops": [v for v, c in settings.items() if c.get("early_stopping")],
        "when the learning rate falls": [v for v, c in settings.items() if _schedule(c) == "plateau"],
    }
    found = [
        f"The validation set chose {what} for {_which(evidence, chosen)}, so their validation results are optimistic."
        for what, chosen in uses.items()
        if chosen
    ]
    free = [v for v in settings if not any(v in chosen for chosen in uses.values())]
    if free:
        found.append(
            f"The weights of the last epoch are kept for {_which(evidence, free)}; nothing was chosen on "
            "validation or test images during training."
        )
    if len(settings) > 1:
        found += _shared(evidence, settings)
    return found


def _schedule(cell: dict[str, Any]) -> str:
    return str((cell.get("schedule") or {}).get("name", ""))


def _which(evidence: StudyEvidence, chosen: list[str]) -> str:
    return every(evidence, "every") if chosen == knobs.trained(evidence) else names(chosen)


def _shared(evidence: StudyEvidence, settings: dict[str, dict[str, Any]]) -> list[str]:
    """Which of the settings that decide most about training are the same for all variants, and which are not."""
    each = {
        "learning rate": {v: _rates(cell) for v, cell in settings.items()},
        "batch size": {v: str(cell.get("batch", "")) for v, cell in settings.items()},
        "epochs": {v: epochs(evidence, v) for v in settings},
        "updates": {v: _updates(evidence, v, cell) for v, cell in settings.items()},
        "augmentation": {v: knobs.text(cell.get("augment")) for v, cell in settings.items()},
    }
    same = [
        f"{what} ({next(iter(values.values()))})" for what, values in each.items() if len(set(values.values())) == 1
    ]
    apart = [
        f"{what} ({'; '.join(f'{v} {value}' for v, value in values.items())})"
        for what, values in each.items()
        if len(set(values.values())) > 1
    ]
    whose = every(evidence, "all")
    found = [f"The same for {whose}: {names(same)}."] if same else []
    if apart:
        found.append(f"Not the same for {whose}: {names(apart)}.")
    if len(set(each["learning rate"].values())) == 1:
        found.append("One learning rate for all may suit some variants better than others.")
    return found


def _rates(cell: dict[str, Any]) -> str:
    """The learning rates that a variant is trained with, phases in order, and how a schedule changes them."""
    phases = [phase.get("lr") if phase.get("lr") is not None else cell.get("lr") for phase in cell.get("phases") or []]
    rates = list(dict.fromkeys(knobs.text(rate) for rate in phases or [cell.get("lr")]))
    name = _schedule(cell)
    if name in ("", "constant"):
        return ", ".join(rates)
    knob = [f"{key} {knobs.text(value)}" for key, value in cell["schedule"].items() if key != "name"]
    return ", ".join([*rates, " ".join([name, *knob])])


def epochs(evidence: StudyEvidence, variant: str) -> str:
    """Epochs that a variant ran: one number, or those of its seeds."""
    runs = {int(evidence.configs[variant, seed]["epochs_run"]) for seed in evidence.study.seeds}
    return "/".join(str(n) for n in sorted(runs))


def _planned(cell: dict[str, Any]) -> int:
    """Epochs that a variant was to run: those of its phases, where it has some."""
    phases = cell.get("phases") or [cell]
    return sum(int(phase.get("epochs") or 0) for phase in phases)


def _updates(evidence: StudyEvidence, variant: str, cell: dict[str, Any]) -> str:
    """Steps of the optimiser in all epochs: one number, or those of the seeds, as `epochs`."""
    step = int(cell.get("batch") or 1) * int(cell.get("accumulate") or 1)
    runs = {
        -(-sum(split["counts"]["train"].values()) // step) * int(evidence.configs[variant, seed]["epochs_run"])
        for split in evidence.split["splits"]
        for seed in split["seeds"]
    }
    return "/".join(f"{n:,}" for n in sorted(runs))


SECTION = Section("caveats", "Caveats", build)
