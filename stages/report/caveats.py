"""Caveats that follow from the settings: what was varied, what validation chose, which comparisons are unfair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report import findings
from stages.report import training as knobs
from stages.report.page import Section, names, plural, span

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures


FITTED = ("featurewise", "zca")  # steps of normalisation that learn from images
UNBALANCED = 3  # times as many test images in the largest class as in the smallest
SPEED = ("threads", "channels_last")  # they change the time and the rounding, not the recipe
SCALES = {"loss.label_smoothing": "label smoothing", "loss.class_weights": "class weights"}


def build(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """Varied and fixed settings, and caveats in words."""
    settings = {variant: dict(knobs.flat(cell)) for variant, cell in evidence.trained.items()}
    varied = knobs.varied(settings)
    first = next(iter(settings.values()), {})
    return {
        "variants": list(settings),
        "keys": varied,
        "varied": [(v, [knobs.text(settings[v].get(key)) for key in varied]) for v in settings],
        "fixed": [(key, knobs.text(first.get(key))) for key in knobs.keys(settings) if key not in varied],
        "every": every(evidence, "all"),
        "unfair": unfair(evidence, varied),
        "notes": [line for line in (*_seeds(evidence), *_data(evidence), *_tuning(evidence)) if line],
    }


def unfair(evidence: StudyEvidence, varied: list[str]) -> list[str]:
    """Comparisons that the page shows side by side and that are not like for like."""
    found = []
    ran = {variant: epochs(evidence, variant) for variant in evidence.trained}
    if len(set(ran.values())) > 1:
        listed = ", ".join(f"{variant} {number}" for variant, number in ran.items())
        found.append(
            f"Variants were not trained for the same number of epochs ({listed}); a difference may come from that."
        )
    if losses := [name for key, name in SCALES.items() if key in varied]:
        advice = "their losses are not on one scale; compare NLL or accuracy instead"
        found.append(f"Variants differ in {names(losses)}: {advice}.")
    parts = list(dict.fromkeys(key.split(".")[0] for key in varied if key not in SPEED))
    if "epochs" in parts and len(set(ran.values())) == 1 and len(set(map(_planned, evidence.trained.values()))) == 1:
        parts.remove("epochs")  # one variant gives one number, another gives phases with the same sum
    if len(parts) > 1:
        found.append(
            f"Variants differ in {names(parts)}. If two variants differ in several of these, this study cannot say "
            "which of them is the cause."
        )
    return found


def _seeds(evidence: StudyEvidence) -> list[str]:
    seeds = len(evidence.study.seeds)
    listed = ", ".join(map(str, evidence.study.seeds))
    found = []
    if idle := [variant for variant in evidence.variants if variant not in evidence.trained]:
        are, give = ("is", "gives") if len(idle) == 1 else ("are", "give")
        prior = f"{are} not trained and {give} every image the shares of the classes in the training set"
        found.append(f"{names(idle)} {prior}.")
    if evidence.trained:
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
    """`every variant` or `all variants`, by `word`; `every trained variant` in a study with a class prior."""
    trained = "" if len(evidence.trained) == len(evidence.variants) else "trained "
    return f"{word} {trained}variant{'s' if word == 'all' else ''}"


def changed(evidence: StudyEvidence) -> list[str]:
    """What a seed changes; the augmentation counts only for variants that do not cache it for all seeds (`views`)."""
    settings = evidence.trained
    drawn = {
        "the augmentation": [v for v, cell in settings.items() if augments(cell) and not cell.get("views")],
        "dropout": [v for v, cell in settings.items() if drops(cell.get("model"))],
    }
    found = [what + ("" if len(who) == len(settings) else f" of {names(who)}") for what, who in drawn.items() if who]
    return ["the initial weights", "the order of the images", *found]


def drops(settings: Any) -> bool:
    """Whether the settings of a network, or of a part of it, have a dropout above 0."""
    if isinstance(settings, dict):
        return any(_rate(value) if key == "dropout" else drops(value) for key, value in settings.items())
    return isinstance(settings, list) and any(drops(value) for value in settings)


def _rate(value: Any) -> bool:
    return any(value) if isinstance(value, list) else bool(value)


def augments(cell: dict[str, Any]) -> bool:
    """Whether a variant's images are augmented."""
    augment = cell.get("augment")
    return any(augment.values()) if isinstance(augment, dict) else augment not in (None, "none")


def _split_varied(evidence: StudyEvidence) -> str:
    if not evidence.several:
        return ", but not the split"
    each = len(evidence.splits[0]["seeds"])
    return ", and the split" if each == 1 else f"; the split changes every {each} seeds"


def _data(evidence: StudyEvidence) -> list[str]:
    return [
        *findings.copies(evidence),
        findings.late(evidence.audit),
        _one_data_set(evidence),
        _fitted(evidence),
        _unbalanced(evidence),
    ]


def _one_data_set(evidence: StudyEvidence) -> str:
    test, seed = span(evidence.sizes("test"), "image"), evidence.split["seed"]
    if not evidence.several:
        shared = f"All variants share one split (seed {seed}) and one test set of {test}."
        return f"{shared} Other test images or other training images would change all results."
    sizes = f"one test set of {test}" if evidence.fixed else f"test sets of {test} each"
    shared = f"All variants share the same {len(evidence.splits)} splits (seed {seed}), with {sizes}, of one data set."
    return f"{shared} Another data set would change all results."


def _fitted(evidence: StudyEvidence) -> str:
    """Which statistics of normalisation were fitted, and to which images; empty if nothing was trained."""
    if not evidence.trained:
        return ""
    configs = [evidence.configs[variant, evidence.study.seeds[0]] for variant in evidence.trained]
    steps = {step["name"] for config in configs for step in config.get("normalisation") or []}
    own = " Normalisation `samplewise` uses the mean and the SD of the image itself." if "samplewise" in steps else ""
    if fitted := sorted(steps & set(FITTED)):
        return f"Statistics for normalisation ({names(fitted)}) are fitted on the training set alone.{own}"
    if own:
        return f"No statistic for normalisation was fitted to a set of images in this study.{own}"
    whose = every(evidence, "all")
    return f"Normalisation uses fixed numbers in {whose}; no statistic was fitted to images in this study."


def _unbalanced(evidence: StudyEvidence) -> str:
    """Says that top-1 mainly reflects the large classes; empty if the classes are of similar size."""
    splits = [split["counts"]["test"] for split in evidence.splits]
    counts = [n for label in splits[0] if (n := sum(split[label] for split in splits) / len(splits))]
    mean = ", on average over the splits" if evidence.several else ""
    if evidence.metric != "top1" or max(counts) < UNBALANCED * min(counts):
        return ""
    return (
        f"The largest class has {max(counts):,.10g} test images, the smallest {min(counts):,.10g}{mean}, so top-1 "
        "mainly reflects the large classes. `aggregate.compare: balanced_accuracy` gives every class the same weight."
    )


def _tuning(evidence: StudyEvidence) -> list[str]:
    settings = evidence.trained
    uses: dict[str, Callable[[dict[str, Any]], Any]] = {
        "the epoch whose weights are kept": lambda cell: str(cell.get("checkpoint", "")).startswith("best"),
        "when training stops": lambda cell: cell.get("early_stopping"),
        "when the learning rate falls": lambda cell: _schedule(cell) == "plateau",
    }
    users = {what: [v for v, cell in settings.items() if used(cell)] for what, used in uses.items()}
    found = [
        f"The validation set chose {what} for {_which(evidence, chosen)}, so their validation results are optimistic."
        for what, chosen in users.items()
        if chosen
    ]
    free = [v for v in settings if not any(v in chosen for chosen in users.values())]
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
    return every(evidence, "every") if chosen == list(evidence.trained) else names(chosen)


def _shared(evidence: StudyEvidence, settings: dict[str, dict[str, Any]]) -> list[str]:
    """Which of the settings that decide most about training are the same for all variants, and which are not."""
    each = {
        "learning rate": {v: _rates(cell) for v, cell in settings.items()},
        "batch size": {v: str(cell.get("batch", "")) for v, cell in settings.items()},
        "epochs": {v: epochs(evidence, v) for v in settings},
        "updates": {v: _updates(evidence, v, cell) for v, cell in settings.items()},
        "augmentation": {v: knobs.text(cell.get("augment")) for v, cell in settings.items()},
    }
    same, apart = [], []
    for what, values in each.items():
        first, *others = dict.fromkeys(values.values())
        if others:
            apart.append(f"{what} ({'; '.join(f'{v} {value}' for v, value in values.items())})")
        else:
            same.append(f"{what} ({first})")
    whose = every(evidence, "all")
    found = [f"The same for {whose}: {names(same)}."] if same else []
    found += [f"Not the same for {whose}: {names(apart)}."] if apart else []
    if len(set(each["learning rate"].values())) == 1:
        found.append("One learning rate for all may suit some variants better than others.")
    return found


def _rates(cell: dict[str, Any]) -> str:
    """The learning rates of a variant, those of its phases in their order, and the schedule that changes them."""
    phases = [phase.get("lr") if phase.get("lr") is not None else cell.get("lr") for phase in cell.get("phases") or []]
    rates = list(dict.fromkeys(knobs.text(rate) for rate in phases or [cell.get("lr")]))
    name = _schedule(cell)
    if name in ("", "constant"):
        return ", ".join(rates)
    knob = [f"{key} {knobs.text(value)}" for key, value in cell["schedule"].items() if key != "name"]
    return ", ".join([*rates, " ".join([name, *knob])])


def epochs(evidence: StudyEvidence, variant: str) -> str:
    """Epochs that a variant ran: one number, or several if its seeds stopped at different epochs."""
    runs = {int(evidence.configs[variant, seed]["epochs_run"]) for seed in evidence.study.seeds}
    return "/".join(str(n) for n in sorted(runs))


def _planned(cell: dict[str, Any]) -> int:
    """Epochs that the settings ask for: the sum over the phases, if there are phases."""
    phases = cell.get("phases") or [cell]
    return sum(int(phase.get("epochs") or 0) for phase in phases)


def _updates(evidence: StudyEvidence, variant: str, cell: dict[str, Any]) -> str:
    """Steps of the optimiser in all epochs: one number, or several if the seeds ran different numbers."""
    step = int(cell.get("batch") or 1) * int(cell.get("accumulate") or 1)
    runs = {
        -(-sum(split["counts"]["train"].values()) // step) * int(evidence.configs[variant, seed]["epochs_run"])
        for split in evidence.splits
        for seed in split["seeds"]
    }
    return "/".join(f"{n:,}" for n in sorted(runs))


SECTION = Section("caveats", "Caveats", build)
