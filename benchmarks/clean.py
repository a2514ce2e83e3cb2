"""The leak that cleaning leaves in bananas. Costs beside peers: benchmarks.copies; what grows: benchmarks.scale.

python -m benchmarks.clean --folder LABEL_FOLDERS --reference benchmarks/bananas-photographs.csv
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.made import stage
from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import files
from stages.split import Images, assign
from stages.split.params import Split


def main() -> None:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    arguments = parser.parse_args()
    leak(arguments)


def leak(arguments: argparse.Namespace) -> None:
    """Test images whose photograph stands in training or validation too, by hand-judged pairs, over 20 splits."""
    photograph = {row["sha256"]: row["photograph"] for row in files.read_rows(arguments.reference)}
    settings = {"as it is": Clean(duplicates="ignore"), "cleaned": Clean(duplicates="drop")}
    for name, clean in settings.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            stage.lay(root, stage.files_of(arguments.folder))
            done = run(clean, root / "data/raw", root / "data/clean", root / "reports/clean", None)
        kept = [e for e in done.entries if e.status == "kept"]
        shown = [photograph.get(e.print.sha256[:16], e.print.sha256) for e in kept]
        shares = []
        for seed in range(20):
            split = Split.model_validate({"seed": seed, "val": 0.2, "test": 0.2})
            groups = [e.group_id if clean.duplicates == "drop" else e.image_id for e in kept]
            parts = assign(Images([e.label for e in kept], groups), split)
            known = {p for p, part in zip(shown, parts, strict=True) if part != "test"}
            test = [p for p, part in zip(shown, parts, strict=True) if part == "test"]
            shares.append(sum(p in known for p in test) / len(test))
        print(f"{name}: {np.mean(shares):.1%} of the test images leak ({min(shares):.1%} to {max(shares):.1%})")
        print(f"   images of each class: {dict(sorted(Counter(e.label for e in kept).items()))}")
        sizes = [len(g) for g in done.groups]
        print(f"   {len(sizes)} groups of copies or similar pictures, of {sum(sizes)} files; the largest {max(sizes)}")


if __name__ == "__main__":
    main()
