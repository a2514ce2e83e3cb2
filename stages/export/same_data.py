"""Whether the networks were trained on the data that lie here now: what is handed on names both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.core import cells, files, intact
from stages.core.errors import UserError
from stages.train import data

if TYPE_CHECKING:
    from collections.abc import Sequence


def check(variant: str, seeds: Sequence[int]) -> None:
    """Compare what each network left with the present split, classes and labels.

    Raises:
        UserError: they differ, as after a decision by hand with no training since.
    """
    for seed in seeds:
        folder = cells.run_folder(variant, seed)
        if not (folder / "logits.npz").exists():
            raise files.missing(folder)
        now = data.load(seed)
        logits = intact.arrays(folder / "logits.npz", data.SPLITS)
        predictions = files.read_frame(
            cells.evaluate_folder(variant, seed) / "predictions.parquet", ("image_id", "label")
        )
        held_out = [now.rows["val"], now.rows["test"]]
        labels = {now.ids[k]: now.classes[now.labels[k]] for rows in held_out for k in rows}
        same = (
            files.read_json(cells.train_folder(variant, seed) / "config.json")["classes"] == now.classes
            and all(logits[part].shape == (len(now.rows[part]), len(now.classes)) for part in data.SPLITS)
            and dict(zip(predictions["image_id"], predictions["label"], strict=True)) == labels
        )
        if not same:
            raise UserError(
                f"the network {variant} of seed {seed} was trained on other data than {cells.split_file(seed)} and "
                f"{data.CLEAN}/manifest.csv name now; `dvc repro` trains it on them"
            )
