"""A folder with all that a server needs of a champion: settings, weights, temperatures, and limits for pictures."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from stages.core import cells, files, params
from stages.predict.model import Ensemble, Member
from stages.train import predict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.clean.params import Clean

_ABOUT = "champion.json"


def write(folder: Path, study: params.Study, variant: str, seeds: Sequence[int], ensemble: Ensemble) -> None:
    """Fill an empty folder; weights are safetensors, nothing is pickled."""
    members = []
    for seed, member in zip(seeds, ensemble.members, strict=True):
        own = folder / str(seed)
        own.mkdir()
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
