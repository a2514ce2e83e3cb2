"""Images of the page: what the networks are surest of, what they confuse, a random grid, and likely label errors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from stages.core import cells, files, intact, seeding, sprite
from stages.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stages.core.params import Study
    from stages.report.params import ReportParams, Samples

MANIFEST, SUSPECTS = Path("data/clean/manifest.csv"), Path("reports/suspects.csv")
JPEG_SIDE, JPEG_PIXELS = 65_500, 89_000_000  # longest side of a JPEG; most pixels that Pillow opens without a warning
PAIR = ["label", "predicted"]
SHOWN = ["image_id", "label", "predicted", "confidence", "seed", "kind"]  # of an image in the gallery of a variant


def write(study: Study, trained: list[str], settings: ReportParams, folder: Path) -> None:
    """Write samples.json and samples.jpg, a sprite in which each image has one tile, into `folder`.

    samples.json says which image a tile shows, which images are in the gallery of each variant, and what the variants
    that are `trained` make of the random grid.
    """
    tested = {variant: _predictions(study, variant) for variant in study.variants}
    galleries = {variant: gallery(table, study.seeds, settings.samples) for variant, table in tested.items()}
    grid = _grid([tested[variant] for variant in trained], settings.samples.grid)
    suspects = [row["image_id"] for row in files.read_rows(SUSPECTS)][: settings.suspects]
    named = [row["image_id"] for rows in (*galleries.values(), grid) for row in rows]
    ids = list(dict.fromkeys([*named, *suspects]))
    px, tiles = _tiles(ids, settings.samples.px)
    sheet = {"px": px, "columns": sprite.COLUMNS, "tiles": [{"image_id": image} for image in ids]}
    files.write_json(folder / "samples.json", sheet | {"grid": grid, "variants": galleries})
    if tiles:
        sprite.write(folder / "samples.jpg", tiles)


def gallery(tested: pd.DataFrame, seeds: list[int], settings: Samples) -> list[dict[str, Any]]:
    """The images that show what a variant is surest of and what it confuses.

    Args:
        tested: seed, image_id, label, predicted and confidence of every test image and seed; labels are categories in
            class order.
        seeds: of the study, in its order.
        settings: how many images.

    Returns:
        For each of the largest classes the images that the first seed predicts rightly (`surest_right`), and wrongly
        (`surest_wrong`), with the highest confidence. Then one image for each of the most frequent confusions over all
        seeds (`confused`): of the first seed that has it the one with the highest confidence. No prediction is listed
        twice.
    """
    surest = tested.sort_values("confidence", ascending=False, kind="stable")
    first = surest[surest["seed"] == seeds[0]]
    largest = first["label"].value_counts(sort=False).sort_values(ascending=False, kind="stable").index
    first = first[first["label"].isin(largest[: settings.classes])].sort_values("label", kind="stable")
    right = first["label"] == first["predicted"]
    first = first.assign(kind=right.map({True: "surest_right", False: "surest_wrong"}))
    best = first.groupby(["label", "kind"], observed=True).head(settings.per_class)
    wrong = surest[surest["label"] != surest["predicted"]]
    wrong = wrong.assign(count=wrong.groupby(PAIR, observed=True)["image_id"].transform("size"))
    in_turn = wrong.sort_values("seed", key=lambda column: column.map(seeds.index), kind="stable")
    examples = in_turn.drop_duplicates(PAIR)
    frequent = examples.sort_values(PAIR).sort_values("count", ascending=False, kind="stable")[: settings.confused]
    shown = pd.concat([best, frequent.assign(kind="confused")]).drop_duplicates(["image_id", "seed"])[SHOWN]
    rows: list[Any] = shown.astype({"label": str, "predicted": str}).to_dict("records")
    return rows


def _predictions(study: Study, variant: str) -> pd.DataFrame:
    """Seed, image_id, label, predicted and confidence of every test image, over all seeds; labels in class order."""
    tables = []
    for seed in study.seeds:
        path = cells.evaluate_folder(variant, seed) / "predictions.parquet"
        table = files.read_frame(path, ("split", "image_id", "label", "predicted"), ("confidence",))
        tables.append(table[table["split"] == "test"].assign(seed=seed))
    classes = pd.CategoricalDtype(files.read_json(cells.SPLIT / "classes.json", list[str]), ordered=True)
    return pd.concat(tables, ignore_index=True).astype({"label": classes, "predicted": classes})


def _grid(tested: list[pd.DataFrame], count: int) -> list[dict[str, Any]]:
    """`count` random test images of the first split: how many of its cells are right, and the wrong predictions."""
    if not tested:
        return []
    seeds = files.read_json(cells.SPLIT / "summary.json", cells.SplitSummary)["splits"][0]["seeds"]
    every = pd.concat(tested)
    every = every[every["seed"].isin(seeds)].astype({"label": str, "predicted": str})
    ids = every["image_id"].unique()
    rows = []
    for image in ids[seeding.grid(len(ids), count)]:
        predictions = every[every["image_id"] == image]
        label, guesses = predictions["label"].iloc[0], Counter(predictions["predicted"])
        right = guesses.pop(label, 0)
        wrong = sorted(guesses.items(), key=lambda guess: (-guess[1], guess[0]))
        rows.append({"image_id": image, "label": label, "right": right, "total": len(predictions), "wrong": wrong})
    return rows


def _tiles(ids: list[str], most: int) -> tuple[int, list[NDArray[np.uint8]]]:
    """The side of a tile, at most `most` px, and the tiles of these images, uint8 (side, side, 3).

    Raises:
        UserError: an image is not in the manifest, its file is missing or damaged, or the tiles are too many.
    """
    kept = {row["image_id"]: row for row in files.read_rows(MANIFEST)}
    if strange := [image for image in ids if image not in kept]:
        raise UserError(f"{MANIFEST} has no image {strange[0]}, which predictions or {SUSPECTS} name; run `dvc repro`")
    rows = [kept[image] for image in ids]
    px = sprite.side(rows, most)
    room = sprite.COLUMNS * min(JPEG_SIDE // px, JPEG_PIXELS // (sprite.COLUMNS * px**2))
    if len(ids) > room:
        raise UserError(
            f"params.yaml: `report` asks for {len(ids):,} pictures of {px} px, and a sprite holds {room:,}; lower "
            "`samples.px`, `samples.classes`, `samples.per_class`, `samples.confused`, `samples.grid` or `suspects`"
        )
    return px, [sprite.tile_of(intact.inside(MANIFEST, "images", row["path"]), px) for row in rows]
