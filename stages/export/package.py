"""The networks that are handed on, and a folder with all that a server needs of them.

The folder has settings, weights, temperatures, and limits for pictures.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from stages.core import cells, files, intact, params
from stages.core.errors import UserError
from stages.predict.model import UNLIKE, Ensemble, Member
from stages.train import data, predict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.clean.params import Clean

_ABOUT = "champion.json"


def trained(variant: str, seeds: Sequence[int]) -> Ensemble:
    """The networks of `seeds`; refused if they were trained on other data than those that lie here now.

    Raises:
        UserError: one is not trained here, or was trained on other data, as after a decision by hand.
    """
    for seed in seeds:
        _check_data(variant, seed)
    return Ensemble.trained(variant, seeds, UNLIKE)


def _check_data(variant: str, seed: int) -> None:
    """Compare what a network left with the present split, classes and labels."""
    folder = cells.run_folder(variant, seed)
    if not (folder / "logits.npz").exists():
        raise files.missing(folder)
    now = data.load(seed)
    logits = intact.arrays(folder / "logits.npz", cells.PARTS)
    predictions = files.read_frame(cells.evaluate_folder(variant, seed) / "predictions.parquet", ("image_id", "label"))
    labels = {now.ids[k]: now.classes[now.labels[k]] for part in ("val", "test") for k in now.rows[part]}
    same = (
        files.read_json(cells.train_folder(variant, seed) / "config.json")["classes"] == now.classes
        and all(logits[part].shape == (len(now.rows[part]), len(now.classes)) for part in cells.PARTS)
        and dict(zip(predictions["image_id"], predictions["label"], strict=True)) == labels
    )
    if not same:
        raise UserError(
            f"the network {variant} of seed {seed} was trained on other data than {cells.split_file(seed)} and "
            f"{data.CLEAN}/manifest.csv name now; `dvc repro` trains it on them"
        )


def write(folder: Path, study: params.Study, variant: str, seeds: Sequence[int], ensemble: Ensemble) -> None:
    """Make and fill a folder; weights are safetensors, nothing is pickled."""
    members = []
    for seed, member in zip(seeds, ensemble.members, strict=True):
        own = folder / str(seed)
        own.mkdir(parents=True)
        shutil.copyfile(cells.train_folder(variant, seed) / "config.json", own / "config.json")
        shutil.copyfile(cells.run_folder(variant, seed) / "model.safetensors", own / "model.safetensors")
        members.append({"seed": seed, "temperature": member.temperature, "threshold": member.threshold})
    about = {"study": study.name, "variant": variant, "clean": study.raw["clean"], "members": members}
    files.write_json(folder / _ABOUT, about)


def read(folder: Path) -> tuple[Ensemble, Clean]:
    """The networks, and the limits under which pictures are decoded."""
    from stages.clean.params import Clean

    about = files.read_json(folder / _ABOUT)
    members = []
    for one in about["members"]:
        own = folder / str(one["seed"])
        loaded = predict.restored(own / "config.json", own / "model.safetensors", one["seed"])
        members.append(Member(loaded, one["temperature"], one["threshold"]))
    return Ensemble(members), params.section(Clean, about["clean"], "clean")
