"""What the settings imply: which were varied, what was chosen on which images, which comparisons are unfair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report import by_hand
from stages.report import training as knobs
from stages.report.section import Section
from stages.report.wording import names, plural

if TYPE_CHECKING:
    import pandas as pd

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures


FITTED = ("featurewise", "zca")  # steps of normalisation that learn from images
UNBALANCED = 3  # times as many test images in the largest class as in the smallest
SCALES = {"loss.label_smoothing": "label smoothing", "loss.class_weights": "class weights"}


def build(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """Varied and fixed settings, and caveats in words."""
    settings = knobs.resolved(evidence)
    varied = knobs.varied(settings)
    first = settings[evidence.variants[0]]
    return {
        "variants": evidence.variants,
        "keys": varied,
        "varied": [(v, [knobs.text(settings[v].get(key)) for key in varied]) for v in evidence.variants],
        "fixed": [(key, knobs.text(first.get(key))) for key in knobs.keys(settings) if key not in varied],
        "unfair": unfair(evidence, varied),
        "notes": [*_seeds(evidence), *_data(evidence), *_tuning(evidence)],
    }


def unfair(evidence: StudyEvidence, varied: list[str]) -> list[str]:
    """Comparisons that the page shows side by side and that are not like for like."""
    found = []
    ran = {variant: epochs(evidence, variant) for variant in evidence.variants}
    if len(set(ran.values())) > 1:
        listed = ", ".join(f"{variant} {number}" for variant, number in ran.items())
        found.append(
            f"Variants were not trained for the same number of epochs ({listed}); a difference may come from that."
        )
    if losses := [name for key, name in SCALES.items() if key in varied]:
        found.append(
            f"Variants differ in {names(losses)}: their losses are not on one scale; compare NLL or accuracy instead."
        )
    parts = list(dict.fromkeys(key.split(".")[0] for key in varied))
    if len(parts) > 1:
        found.append(
            f"Variants differ in {names(parts)}. If two variants differ in several of these, none of them alone is the "
            "cause."
        )
    return found


def _seeds(evidence: StudyEvidence) -> list[str]:
    seeds = len(evidence.study.seeds)
    listed = ", ".join(map(str, evidence.study.seeds))
    found = [
        (
            f"Every variant was trained with {plural(seeds, 'seed')} ({listed}). A seed changes "
            f"{names(_changed(evidence))}{_split_varied(evidence)}."
        )
    ]
    if seeds == 1:
        found.append("One seed shows no variation, so there is no standard deviation and no interval over seeds.")
    elif seeds < 5:
        found.append(
            f"{seeds} seeds give wide intervals. More seeds may reorder the variants that are statistically tied."
        )
    return found


def _changed(evidence: StudyEvidence) -> list[str]:
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
    """The resolved settings of each variant."""
    return {v: dict(evidence.configs[v, evidence.study.seeds[0]]["cell"]) for v in evidence.variants}


def _split_varied(evidence: StudyEvidence) -> str:
    splits = evidence.split["splits"]
    if len(splits) == 1:
        return ", but not the split"
    each = len(splits[0]["seeds"])
    return ", and the split" if each == 1 else f"; the split changes every {each} seeds"


def _data(evidence: StudyEvidence) -> list[str]:
    test = plural(evidence.images("test"), "image")
    splits = len(evidence.split["splits"])
    sizes = f"one test set of {test}" if evidence.fixed else f"test sets of {test} each"
    found = [
        *copies(evidence),
        *by_hand.late(evidence.audit),
        (
            f"All variants were trained and tested on the same {splits} splits (seed {evidence.split['seed']}), with "
            f"{sizes}, of one data set. Another data set would change all results."
            if splits > 1
            else f"All variants share one split (seed {evidence.split['seed']}) and one test set of {test}. "
            "Other test images or other training images would change all results."
        ),
        _fitted(evidence),
    ]
    return found + _unbalanced(evidence)


def copies(evidence: StudyEvidence) -> list[str]:
    """Test images with a copy or a similar picture in the training or validation set, in the worst split."""
    test = plural(evidence.images("test"), "image")
    if evidence.audit.get("duplicates") == "ignore" and "links_cut" not in evidence.audit:
        return ["Copies were left as published. The number of test images with a copy in another part was not counted."]
    train, val, cut = max(_across(evidence, parts) for parts in evidence.parts)
    found = []
    alike = (
        "a copy, a similar picture or a picture of its named group" if evidence.named else "a copy or a similar picture"
    )
    if train + val:
        found.append(
            f"{train + val:,} of {test} of the test set have {alike} outside it: {train:,} in the training set, "
            f"{val:,} only in the validation set. This makes the test results too good."
        )
    else:
        found.append(
            f"As far as cleaning can find them, no test image has {alike} in the training or the validation set."
        )
    if cut:
        found.append(
            f"Cleaning found {plural(cut, 'pair')} of similar pictures that it did not group (`clean.match.max_group`) "
            "and of which one is in the test set and the other in the training or validation set."
        )
    return found


def _across(evidence: StudyEvidence, split: pd.DataFrame) -> tuple[int, int, int]:
    """Test images with a member of their group in train; in validation alone; links refused that leave the test set."""
    where = dict(zip(split["image_id"], split["split"], strict=True))
    groups: dict[str, list[str]] = {}
    for image, group in zip(evidence.manifest["image_id"], evidence.manifest["group_id"], strict=True):
        groups.setdefault(group, []).append(where.get(image, ""))
    train = sum(parts.count("test") for parts in groups.values() if "train" in parts)
    val = sum(parts.count("test") for parts in groups.values() if "val" in parts and "train" not in parts)
    sides = [{where.get(image, "") for image in link} for link in evidence.audit.get("links_cut") or []]
    return train, val, sum("test" in side and bool(side & {"train", "val"}) for side in sides)


def _fitted(evidence: StudyEvidence) -> str:
    """Which statistics of normalisation were fitted, and on what."""
    seed = evidence.study.seeds[0]
    steps = {
        step["name"]
        for variant in evidence.variants
        for step in evidence.configs[variant, seed].get("normalisation") or []
    }
    own = " Normalisation `samplewise` uses the mean and the SD of the image itself." if "samplewise" in steps else ""
    if fitted := sorted(steps & set(FITTED)):
        return f"Statistics for normalisation ({names(fitted)}) are fitted on the training set alone.{own}"
    fixed = (
        "No statistic for normalisation was fitted to a set of images."
        if own
        else ("Normalisation uses fixed numbers in all variants; no statistic was fitted to images.")
    )
    return fixed + own


def _unbalanced(evidence: StudyEvidence) -> list[str]:
    """Whether top-1 is a poor choice of metric here."""
    counts = [n for n in evidence.split["splits"][0]["counts"]["test"].values() if n]
    if evidence.metric != "top1" or max(counts) < UNBALANCED * min(counts):
        return []
    return [
        (
            f"The largest class has {max(counts):,} test images, the smallest {min(counts):,}, so top-1 mainly "
            "reflects the large classes. `aggregate.compare: balanced_accuracy` gives every class the same weight."
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
        f"The validation set chose {what} for {_which(chosen, settings)}, so their validation results are optimistic."
        for what, chosen in uses.items()
        if chosen
    ]
    free = [v for v in settings if not any(v in chosen for chosen in uses.values())]
    if free:
        found.append(
            f"The weights of the last epoch are kept for {_which(free, settings)}; nothing was chosen on "
            "validation or test images during training."
        )
    if len(evidence.variants) > 1:
        found += _shared(evidence, settings)
    return found


def _schedule(cell: dict[str, Any]) -> str:
    return str((cell.get("schedule") or {}).get("name", ""))


def _which(chosen: list[str], settings: dict[str, Any]) -> str:
    return "every variant" if len(chosen) == len(settings) else names(chosen)


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
    found = [f"The same for all variants: {names(same)}."] if same else []
    if apart:
        found.append(f"Not the same for all variants: {names(apart)}.")
    if len(set(each["learning rate"].values())) == 1:
        found.append(
            "The learning rate was not tuned for each variant, so it may suit some variants better than others."
        )
    return found


def _rates(cell: dict[str, Any]) -> str:
    """The learning rates that a variant is trained with, phases in order, and how a schedule changes them."""
    phases = [phase.get("lr") if phase.get("lr") is not None else cell.get("lr") for phase in cell.get("phases") or []]
    rates = list(dict.fromkeys(knobs.text(rate) for rate in phases or [cell.get("lr")]))
    name = _schedule(cell)
    return ", ".join(rates) + (f", {name}" if name not in ("", "constant") else "")


def epochs(evidence: StudyEvidence, variant: str) -> str:
    """Epochs that a variant ran: one number, or those of its seeds."""
    runs = {int(evidence.configs[variant, seed]["epochs_run"]) for seed in evidence.study.seeds}
    return "/".join(str(n) for n in sorted(runs))


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
