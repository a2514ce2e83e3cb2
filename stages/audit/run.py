"""From data/clean to the files of reports/audit."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.audit import judge, strange
from stages.core import files, intact, sprite

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from stages.aggregate.params import Audit

CLEAN, OUT = Path("data/clean"), Path("reports/audit")
COLUMNS = ["image_id", "label", "predicted", "label_probability", "predicted_probability", "found", "judged"]
OUTLIERS = ["image_id", "label", "distance", "found", "compared"]
SHOWN, PX = 48, 96  # pictures in the sprite, and px of their longer side: 250 KB in git
Row = dict[str, Any]


def run(settings: Audit) -> None:
    """Write suspects.csv, outliers.csv, summary.json, pictures.json and, where labels were found, pictures.jpg.

    Without folds suspects.csv has its first row alone, there is no outliers.csv, and no picture need be here.

    Raises:
        UserError: a picture or the weights are missing, or a file is damaged.
    """
    manifest = files.read_rows(CLEAN / "manifest.csv") if settings.folds else []
    paths = [intact.inside(CLEAN / "manifest.csv", "images", row["path"]) for row in manifest]
    place = {row["image_id"]: k for k, row in enumerate(manifest)}
    rows: list[Row] = []
    outliers: list[Row] = []
    summary: dict[str, Any] = {"folds": settings.folds}
    if settings.folds:
        rows, outliers, summary = _audit(manifest, paths, settings)
    shown = [place[row["image_id"]] for row in rows[:SHOWN]]
    px = sprite.side([manifest[k] for k in shown], PX)
    with files.fresh_folder(OUT) as folder:
        files.write_rows(folder / "suspects.csv", COLUMNS, rows)
        if settings.folds:
            files.write_rows(folder / "outliers.csv", OUTLIERS, outliers)
        files.write_json(folder / "summary.json", summary)
        about = [{key: row[key] for key in ("image_id", "label", "predicted")} for row in rows[:SHOWN]]
        files.write_json(folder / "pictures.json", {"px": px, "columns": sprite.COLUMNS, "tiles": about})
        if shown:
            sprite.write(folder / "pictures.jpg", [sprite.tile_of(paths[k], px) for k in shown])


def _audit(
    manifest: Sequence[dict[str, str]], paths: Sequence[Path], settings: Audit
) -> tuple[list[Row], list[Row], Row]:
    """The rows of suspects.csv and of outliers.csv, and what summary.json says."""
    from stages.audit import features

    labels, groups = [row["label"] for row in manifest], [row["group_id"] for row in manifest]
    pooled = features.features(paths, settings)
    judged = judge.out_of_fold(pooled, labels, groups, settings.folds, settings.seed)
    counts = judge.groups_of_classes(labels, groups)
    places = judge.issues(judged)
    rows = [_row(place, judged, manifest, len(places)) for place in places[: settings.most].tolist()]
    outliers, about_outliers = _outliers(pooled, manifest)
    right = judged.probabilities.argmax(axis=1) == judged.labels if len(judged.rows) else None
    summary = {
        "folds": settings.folds,
        "seed": settings.seed,
        "architecture": settings.architecture,
        "size": settings.size,
        "weights": features.weights(settings),
        "kept": len(manifest),
        "judged": len(judged.rows),
        "found": len(places),
        "listed": len(rows),
        "top1": None if right is None else float(right.mean()),
        "left_out": {label: count for label, count in counts.items() if label not in judged.classes},
        "outliers": about_outliers,
        "libraries": {name: metadata.version(name) for name in ("cleanlab", "scikit-learn")},
    }
    return rows, outliers, summary


def _outliers(pooled: NDArray[np.float32], manifest: Sequence[dict[str, str]]) -> tuple[list[Row], Row | None]:
    """The rows of outliers.csv, and what summary.json says of them; None where nothing can be said."""
    distances = strange.distances(pooled)
    if distances is None:
        return [], None
    places = strange.places(distances).tolist()
    rows = [
        {
            "image_id": manifest[k]["image_id"],
            "label": manifest[k]["label"],
            "distance": float(distances[k]),
            "found": len(places),
            "compared": len(distances),
        }
        for k in places[: strange.MOST]
    ]
    summary = {
        "neighbours": strange.NEIGHBOURS,
        "limit": strange.limit(distances),
        "found": len(places),
        "listed": len(rows),
    }
    return rows, summary


def _row(place: int, judged: judge.Judged, manifest: Sequence[dict[str, str]], found: int) -> Row:
    label, predicted = int(judged.labels[place]), int(judged.probabilities[place].argmax())
    return {
        "image_id": manifest[int(judged.rows[place])]["image_id"],
        "label": judged.classes[label],
        "predicted": judged.classes[predicted],
        "label_probability": float(judged.probabilities[place, label]),
        "predicted_probability": float(judged.probabilities[place, predicted]),
        "found": found,
        "judged": len(judged.rows),
    }
