"""What follows from the settings: what was varied and fixed, what was chosen on what, what is not a fair comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report import settings as knobs
from stages.report.wording import names, plural

if TYPE_CHECKING:
    import pandas as pd

    from stages.report.evidence import Evidence


SCALES = {"loss.label_smoothing": "label smoothing", "loss.class_weights": "class weights"}


def build(evidence: Evidence) -> dict[str, Any]:
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
        "notes": [*_seeds(evidence), *_data(evidence), *_tuning(evidence, varied)],
    }


def unfair(evidence: Evidence, varied: list[str]) -> list[str]:
    """Comparisons that the page shows side by side and that are not like for like."""
    found = []
    epochs = {
        variant: "/".join(
            str(n)
            for n in sorted({int(evidence.configs[variant, seed]["epochs_run"]) for seed in evidence.study.seeds})
        )
        for variant in evidence.variants
    }
    if len(set(epochs.values())) > 1:
        listed = ", ".join(f"{variant} {number}" for variant, number in epochs.items())
        found.append(
            f"Variants were not trained for the same number of epochs ({listed}); a difference may come from that."
        )
    if losses := [name for key, name in SCALES.items() if key in varied]:
        found.append(
            f"Variants differ in {names(losses)}: their losses are not on one scale; compare NLL or accuracy instead."
        )
    parts = list(dict.fromkeys(key.split(".")[0] for key in varied))
    if len(parts) > 1:
        found.append(f"Variants differ in {names(parts)}: where two differ in several, no one of them is the cause.")
    return found


def _seeds(evidence: Evidence) -> list[str]:
    seeds = len(evidence.study.seeds)
    listed = ", ".join(map(str, evidence.study.seeds))
    found = [
        (
            f"Every variant was trained with {plural(seeds, 'seed')} ({listed}); a seed changes the initial weights, "
            f"the order of the images and the augmentation, {_split_varied(evidence)}."
        )
    ]
    if seeds == 1:
        found.append("One seed gives no spread: no standard deviation or interval over seeds can be stated.")
    elif seeds < 5:
        found.append(f"{seeds} seeds give wide t-intervals; more may reorder the variants that cannot be told apart.")
    return found


def _split_varied(evidence: Evidence) -> str:
    splits = evidence.split["splits"]
    if len(splits) == 1:
        return "not the split"
    each = len(splits[0]["seeds"])
    return "and the split" if each == 1 else f"and every {each} seeds the split"


def _data(evidence: Evidence) -> list[str]:
    count, test = leaked(evidence), plural(evidence.images("test"), "image")
    splits = len(evidence.split["splits"])
    found = [
        (
            f"All variants were trained and tested on the same {splits} splits (seed {evidence.split['seed']}); their "
            f"test sets, of {test} each, come from one data set: another one would move all figures."
            if splits > 1
            else f"All variants share one split (seed {evidence.split['seed']}) and one test set of {test}: another "
            "draw of test images would move all figures."
        ),
        "Statistics for normalisation are fitted on the training set alone.",
    ]
    if count:
        found.insert(0, (
            f"{count:,} of {test} of the test set have a duplicate in the training or validation set: test figures are "
            "too good by what that is worth."
        ))  # fmt: skip
    else:
        found.append("No test image has a duplicate, as far as cleaning finds them, in the training or validation set.")
    return found


def leaked(evidence: Evidence) -> int:
    """Test images whose duplicate group also stands in train or validation; of several splits, in the worst."""
    return max(_leaked(evidence, parts) for parts in evidence.parts)


def _leaked(evidence: Evidence, split: pd.DataFrame) -> int:
    where = dict(zip(split["image_id"], split["split"], strict=True))
    groups: dict[str, list[str]] = {}
    for image, group in zip(evidence.manifest["image_id"], evidence.manifest["group_id"], strict=True):
        groups.setdefault(group, []).append(where.get(image, ""))
    return sum(parts.count("test") for parts in groups.values() if {"train", "val"} & set(parts))


def _tuning(evidence: Evidence, varied: list[str]) -> list[str]:
    found = []
    seed = evidence.study.seeds[0]
    rules = {v: str(evidence.configs[v, seed]["cell"].get("checkpoint", "")) for v in evidence.variants}
    chosen = [variant for variant, rule in rules.items() if rule.startswith("best")]
    if chosen:
        which = "every variant" if len(chosen) == len(rules) else names(chosen)
        found.append(
            f"The epoch that counts was chosen on the validation set for {which}: validation figures are optimistic "
            "for that, test figures are not."
        )
    if len(chosen) < len(rules):
        which = "every variant" if not chosen else names([v for v in rules if v not in chosen])
        found.append(f"The last epoch counts for {which}; nothing was chosen on validation or test images.")
    if "lr" not in varied and len(evidence.variants) > 1:
        found.append(
            "All variants share one learning rate; it was not tuned for each, and may suit some better than others."
        )
    return found
