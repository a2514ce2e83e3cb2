"""What is unusual about single pictures: labels that are in doubt, pictures unlike the others, unusual sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.curate.finding import Finding, Row, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stages.curate.finding import Picture

ODD = 20  # pictures of unusual size


def suspects(root: Path, pictures: list[Picture]) -> Iterator[Finding]:
    """Labels that most networks contradict, then those that only the audit of all images does.

    Left-out copies stand beside the picture: without it, one of them would be kept, with the same label.
    """
    known, copies = _by_image(pictures)
    told: dict[str, tuple[str, list[str]]] = {}
    for row, said in [*_contradicted(root), *_audited(root)]:
        image = row["image_id"]
        if image in known and row["label"] == known[image].label:
            told.setdefault(image, (row["predicted"], []))[1].append(said)
    for image, (hint, sentences) in told.items():
        yield _beside("suspect", known[image], copies.get(image, []), sentences, hint)


def outliers(root: Path, pictures: list[Picture]) -> Iterator[Finding]:
    """Pictures that the audit found unlike all others, with their left-out copies."""
    known, copies = _by_image(pictures)
    for row in rows(root / "reports/audit/outliers.csv"):
        if (image := row["image_id"]) in known:
            times = f"{float(row['distance'] or 0):.1f} times as far away as those of the middle picture"
            yield _beside("outlier", known[image], copies.get(image, []), [f"The pictures most like it are {times}."])


def _by_image(pictures: list[Picture]) -> tuple[dict[str, Picture], dict[str, list[Picture]]]:
    """Image -> the picture that is kept, and image -> those that were left out as copies of it."""
    copies: dict[str, list[Picture]] = {}
    for p in pictures:
        if p.copy_of:
            copies.setdefault(p.copy_of, []).append(p)
    return {p.image_id: p for p in pictures if p.image_id}, copies


def _beside(kind: str, one: Picture, copies: list[Picture], said: list[str], hint: str = "") -> Finding:
    more = f"Left-out copies: {len(copies)}. A decision holds for all of them, unless you mark some."
    return Finding(kind, [one, *copies], " ".join([*said, *([more] if copies else [])]), hint=hint)


def _contradicted(root: Path) -> Iterator[tuple[Row, str]]:
    for row in rows(root / "reports/suspects.csv"):
        sure = f"with a mean confidence of {float(row['confidence'] or 0):.0%}"
        yield row, f"{row['wrong']} of {row['cells']} networks say {row['predicted']}, {sure}."


def _audited(root: Path) -> Iterator[tuple[Row, str]]:
    for row in rows(root / "reports/audit/suspects.csv"):
        own, other = float(row["label_probability"] or 0), float(row["predicted_probability"] or 0)
        yield row, f"The audit of all images says {row['predicted']} ({other:.0%}; {row['label']} {own:.0%})."


def odd_sizes(pictures: list[Picture]) -> list[Finding]:
    """Kept pictures whose area or shape is far from the rest: more than 5 times the median distance from the median."""
    import numpy as np

    kept = [(p, p.size) for p in pictures if p.size]
    if len(kept) < 10:
        return []
    sides = np.log([size for _, size in kept])
    measures = np.stack([sides.sum(axis=1), sides[:, 0] - sides[:, 1]], axis=1)
    away = np.abs(measures - np.median(measures, axis=0))
    usual = np.maximum(np.median(away, axis=0), 0.1)  # a spread of 10 % is ordinary
    far = (away / usual).max(axis=1)
    order = [int(k) for k in np.argsort(-far, kind="stable")[:ODD] if far[k] > 5]
    middle = " x ".join(f"{value:.0f}" for value in np.exp(np.median(sides, axis=0)))
    return [
        Finding("size", [kept[k][0]], f"{kept[k][1][0]} x {kept[k][1][1]} px; the middle of all is {middle} px.")
        for k in order
    ]
