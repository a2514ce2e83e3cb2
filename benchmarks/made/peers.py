"""The tools that people use, each as a process in an environment of its own: pairs of files and CPU seconds."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.made.stage import timed

_IMAGEHASH = """
import imagehash, numpy as np
from PIL import Image
hashes = {}
for path in sorted(p for p in A.rglob("*") if p.is_file()):
    try:
        with Image.open(path) as image:
            hashes[str(path.relative_to(A))] = imagehash.phash(image).hash.ravel()
    except OSError:  # what Pillow cannot read
        pass
names, signs = list(hashes), np.array(list(hashes.values())) * 2.0 - 1
pairs = [(names[i], names[i + 1 + j]) for i in range(len(names))
         for j in np.flatnonzero((64 - signs[i + 1:] @ signs[i]) / 2 <= DISTANCE)]
"""
_DEDUP = """
from imagededup.methods import METHOD
found = METHOD(verbose=False).find_duplicates(image_dir=A, recursive=True, MORE)
pairs = sorted({tuple(sorted((a, b))) for a, others in found.items() for b in others})
"""
_VISION = """
from itertools import combinations
from cleanvision import Imagelab
lab = Imagelab(data_path=str(A), verbose=False)
lab.find_issues(dict.fromkeys(["exact_duplicates", "near_duplicates"], dict()), n_jobs=1, verbose=False)
sets = [s for kind in ("exact_duplicates", "near_duplicates") for s in lab.info[kind]["sets"]]
short = lambda name: str(pathlib.Path(name).relative_to(A))
pairs = sorted({tuple(sorted(map(short, p))) for s in sets for p in combinations(s, 2)})
"""
_WEIGHTS = """
import torch
if not list(pathlib.Path(torch.hub.get_dir(), "checkpoints").glob("mobilenet_v3_*")):
    sys.exit("its weights are not there")
"""
PEERS = {
    "imagehash <= 4": _IMAGEHASH.replace("DISTANCE", "4"),
    "imagehash <= 8": _IMAGEHASH.replace("DISTANCE", "8"),
    "imagededup pHash": _DEDUP.replace("METHOD", "PHash").replace("MORE", "num_enc_workers=0, num_dist_workers=0"),
    "imagededup CNN": _WEIGHTS + _DEDUP.replace("METHOD", "CNN").replace("MORE", "num_enc_workers=0"),
    "cleanvision": _VISION,
}


@dataclass(frozen=True)
class Found:
    """Pairs that a peer calls duplicates, and what that cost."""

    pairs: list[tuple[str, str]]
    seconds: float


def asked(python: Path | None, folder: Path) -> dict[str, Found]:
    """Every peer that runs with `python` on the files of `folder`; those that do not are named."""
    found: dict[str, Found] = {}
    if python is None:
        print("peers: no --peers, left out")
        return found
    for name, code in PEERS.items():
        with tempfile.TemporaryDirectory() as place:
            target = Path(place) / "pairs.json"
            script = f"import json, pathlib, sys\nA = pathlib.Path({str(folder.resolve())!r})\n{code}"
            script += f"\npathlib.Path({str(target)!r}).write_text(json.dumps(pairs))"
            seconds, error = timed([str(python), "-c", script], Path(place), {})
            if error:
                print(f"{name}: left out, {error.strip().splitlines()[-1]}")
                continue
            found[name] = Found([(a, b) for a, b in json.loads(target.read_text(encoding="utf-8"))], seconds)
    return found
