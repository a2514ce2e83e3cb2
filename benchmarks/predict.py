"""`python -m stages.predict` against a bare torch loop with the same decoding, on photographs of yours.

    python benchmarks/predict.py FOLDER [--pictures 1000]

The pictures of FOLDER are copied until there are enough. The network is a frozen EfficientNet-Lite0 with a new head,
since figures of speed need no training. The bare loop is a DataLoader with a worker for each core, and torch with a
thread for each core. Prints seconds and CPU seconds, those of the start (one picture) apart; exit 1 where predict
reaches less than 0.9 of the loop's pictures a second, or starts in more than 6 s.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SHARE, START = 0.9, 6.0
VARIANT = "lite0"
MODEL = {"name": "backbone", "architecture": "tf_efficientnet_lite0", "weights": "imagenet", "trainable": "head"}


def main() -> None:
    """Make the network and the pictures, measure both programs with one picture and with all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="photographs, at any depth")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--bare", help=argparse.SUPPRESS)  # this process is the bare loop over that folder
    arguments = parser.parse_args()
    if arguments.bare:
        _bare(Path(arguments.bare))
        return
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        _study()
        _copies(arguments.folder, arguments.pictures)
        predict = [sys.executable, "-m", "stages.predict", "--variant", VARIANT, "--out", "said.csv"]
        bare = [sys.executable, str(Path(__file__).resolve()), "--bare"]
        found = {}
        for name, command in (("predict", predict), ("bare", bare)):
            start, whole = _timed([*command, "one"]), _timed([*command, "all"])
            rate = (arguments.pictures - 1) / (whole["seconds"] - start["seconds"])
            found[name] = {"start": start, "whole": whole, "pictures_a_second": round(rate, 1)}
            print(name, json.dumps(found[name]))
    share = found["predict"]["pictures_a_second"] / found["bare"]["pictures_a_second"]
    print(f"share {share:.2f}")
    sys.exit(0 if share >= SHARE and found["predict"]["start"]["seconds"] <= START else 1)


def _study() -> None:
    """The files of a trained cell."""
    import numpy as np
    from safetensors.torch import save_file

    from stages.core import files, params
    from stages.train import normalise, zoo
    from stages.train.params import cell

    raw = params.read(ROOT / "params.yaml").raw | {
        "seeds": [0], "variants": {VARIANT: {"model": MODEL, "size": 224, "epochs": 1}},
    }  # fmt: skip
    files.write_json("params.yaml", raw)
    settings = cell(params.read(), VARIANT)
    network = zoo.build(settings.model, 10, settings.size, 0, None)
    normaliser: Any = normalise.fit(settings, np.zeros((1, 224, 224, 3), np.uint8))  # type: ignore[arg-type]
    tensors = network.state_dict() | {f"{normalise.PREFIX}{k}": v for k, v in normaliser.state_dict().items()}
    run, results = Path("runs", VARIANT, "0"), Path("results", VARIANT, "0")
    run.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, run / "model.safetensors")
    np.savez(run / "logits.npz", val=np.zeros((1, 10), np.float32))
    config = {"cell": settings.model_dump(), "classes": [str(i) for i in range(10)]}
    files.write_json(results / "train/config.json", config)
    files.write_rows(results / "evaluate/metrics.csv", ["split", "metric", "value"], [])


def _copies(folder: Path, count: int) -> None:
    """`all` with `count` pictures, `one` with the first of them."""
    pictures = sorted(p for p in (ROOT / folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for name, number in (("one", 1), ("all", count)):
        Path(name).mkdir()
        for i in range(number):
            source = pictures[i % len(pictures)]
            shutil.copyfile(source, f"{name}/{i:05d}{source.suffix}")


def _timed(command: list[str]) -> dict[str, float]:
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(time.perf_counter() - start, 2), "cpu_seconds": round(cpu, 2)}


def _bare(folder: Path) -> None:
    """What someone writes who wants the labels and nothing else."""
    import torch
    from torch.utils.data import DataLoader

    from stages.train import predict

    torch.set_num_threads(os.cpu_count() or 1)
    loaded = predict.restored(Path("results", VARIANT, "0/train/config.json"), _weights(), 0)
    torch.set_num_threads(os.cpu_count() or 1)
    pictures: Any = _Pictures(sorted(folder.iterdir()))
    loader = DataLoader(pictures, batch_size=16, num_workers=os.cpu_count() or 1)
    with torch.no_grad(), Path("bare.csv").open("w") as out:
        for images in loader:
            logits = loaded.network(loaded.normaliser(images.permute(0, 3, 1, 2).float()))
            out.writelines(f"{int(label)}\n" for label in logits.softmax(1).argmax(1))


def _weights() -> Path:
    return Path("runs", VARIANT, "0/model.safetensors")


class _Pictures:
    """Decoded and resized as `clean` and `train` do it."""

    def __init__(self, paths: list[Path]) -> None:
        from stages.clean.params import Clean
        from stages.core import files, params
        from stages.train.params import Cell

        self.paths = paths
        self.clean = params.section(Clean, params.read().raw["clean"], "clean")
        config = files.read_json(Path("results", VARIANT, "0/train/config.json"))
        self.cell = Cell.model_validate(config["cell"])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        import numpy as np
        import torch

        from stages.clean import decode
        from stages.train.pixels import square

        image = decode.decode(self.paths[index].read_bytes(), self.clean).image
        return torch.from_numpy(np.array(square(image, self.cell.size, self.cell.resize)))


if __name__ == "__main__":
    main()
