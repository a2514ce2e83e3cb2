"""What follows from the settings: what was varied and fixed, what was chosen on what, what is not a fair comparison."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stages.report.wording import MISSING, names, plural

if TYPE_CHECKING:
    from stages.report.evidence import Evidence


def build(evidence: Evidence) -> dict[str, Any]:
    """Varied and fixed settings, and caveats in words."""
    settings = {variant: resolved(evidence, variant) for variant in evidence.variants}
    keys = list(dict.fromkeys(key for values in settings.values() for key in values))
    varied = {key: [_text(values.get(key)) for values in settings.values()] for key in keys}
    varied = {key: values for key, values in varied.items() if len(set(values)) > 1}
    first = settings[evidence.variants[0]]
    return {
        "variants": evidence.variants,
        "varied": [(key, list(zip(evidence.variants, values, strict=True))) for key, values in varied.items()],
        "fixed": [(key, _text(first.get(key))) for key in keys if key not in varied],
        "unfair": _unfair(evidence, list(varied)),
        "notes": _notes(evidence, list(varied)),
    }


def resolved(evidence: Evidence, variant: str) -> dict[str, Any]:
    """A variant's settings, flat: `optimizer.name` beside `epochs`; what the variant names wins over `train`."""
    raw = {"lr": evidence.study.lr, **evidence.study.raw["train"], **evidence.study.variants[variant]}
    return dict(_flat(raw))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _text(value: Any) -> str:
    return MISSING if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unfair(evidence: Evidence, varied: list[str]) -> list[str]:
    """Comparisons that the page shows side by side and that are not like for like."""
    found = []
    epochs = {
        variant: sorted({int(evidence.configs[variant, seed]["epochs_run"]) for seed in evidence.study.seeds})
        for variant in evidence.variants
    }
    if len({tuple(values) for values in epochs.values()}) > 1:
        listed = ", ".join(f"{variant} {'/'.join(map(str, values))}" for variant, values in epochs.items())
        found.append(
            f"Variants were not trained for the same number of epochs ({listed}): a difference may come from that."
        )
    if any(key.endswith("label_smoothing") for key in varied):
        found.append(
            "Variants differ in label smoothing: their losses are not on one scale; compare NLL or accuracy instead."
        )
    if len(varied) > 1:
        heads = list(dict.fromkeys(key.split(".")[0] for key in varied))
        if len(heads) > 1:
            found.append(
                f"Variants differ in {names(heads)} at once: a difference between two of them has no single cause."
            )
    return found


def _notes(evidence: Evidence, varied: list[str]) -> list[str]:
    seeds = len(evidence.study.seeds)
    listed = ", ".join(map(str, evidence.study.seeds))
    notes = [
        (
            f"Every variant was trained with {plural(seeds, 'seed')} ({listed}); a seed changes the initial weights, "
            "the order of the images and the augmentation, not the split."
        ),
        (
            f"All variants share one split (seed {evidence.split.get('seed')}) and one test set of "
            f"{plural(evidence.images('test'), 'image')}: another draw of test images would move all figures."
        ),
        (
            "No image of the validation or test set, and no duplicate of one that cleaning found, is in the training "
            "set; statistics for normalisation are fitted on the training set alone."
        ),
    ]
    if seeds == 1:
        notes.append("One seed gives no spread: no standard deviation or interval over seeds can be stated.")
    elif seeds < 5:
        notes.append(f"{seeds} seeds give wide t-intervals; more may reorder the variants that cannot be told apart.")
    chosen = _chosen_on_validation(evidence)
    if chosen:
        which = "every variant" if len(chosen) == len(evidence.variants) else names(chosen)
        notes.append(
            f"The epoch that counts was chosen on the validation set for {which}: validation figures are optimistic "
            "for that, test figures are not."
        )
    if "lr" not in varied and len(evidence.variants) > 1:
        notes.append(
            "All variants share one learning rate; it was not tuned for each, and may suit some better than others."
        )
    return notes


def _chosen_on_validation(evidence: Evidence) -> list[str]:
    found = []
    for variant in evidence.variants:
        rule = str(evidence.configs[variant, evidence.study.seeds[0]].get("checkpoint", ""))
        if rule.startswith("best"):
            found.append(variant)
    return found
