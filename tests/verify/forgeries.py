"""What somebody may change in a committed study, and what check 1 of `verify` says of it."""

import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from stages.core import files
from tests import tiny
from tests.verify import committed

CELL = "results/mlp/0/evaluate"


def value(path: Path, metric: str) -> str:
    return next(row["value"] for row in files.read_rows(path) if (row["split"], row["metric"]) == ("test", metric))


def edited_metric(clone: Path) -> None:
    path = clone / CELL / "metrics.csv"
    committed.replace(path, f"test,nll,{value(path, 'nll')}", "test,nll,0.01")


def edited_picture(clone: Path) -> None:
    path = clone / "reports/figures/curves_mlp.png"
    with Image.open(path) as picture:
        changed = picture.copy()
    changed.paste(0, (0, 0, 20, 20))
    changed.save(path)


def swapped_label(clone: Path) -> None:
    path = clone / "data/clean/manifest.csv"
    rows = files.read_rows(path)
    rows[0]["label"] = rows[-1]["label"]
    files.write_rows(path, list(rows[0]), rows)


def picture_in_another_class(clone: Path) -> None:
    (clone / "data/source/8/0.png").rename(clone / "data/source/9/stray.png")


def unlisted_seed(clone: Path) -> None:
    shutil.copytree(clone / "results/mlp/0", clone / "results/mlp/7")


def changed_split(clone: Path) -> None:
    path = clone / "data/split/seeds/0.csv"
    rows = files.read_rows(path)
    one = next(r for r in rows if r["split"] == "test")
    two = next(r for r in rows if r["split"] == "train")
    one["split"], two["split"] = two["split"], one["split"]
    files.write_rows(path, list(rows[0]), rows)


def edited_report(clone: Path) -> None:
    path = clone / "reports/report.md"
    words = next(word for word in path.read_text().split() if word[:1].isdigit())
    committed.replace(path, words, "99.99")


def other_lr(clone: Path) -> None:
    committed.replace(clone / "params.yaml", "lr: 0.001", "lr: 0.002")


def swapped_label_in_the_ledger(clone: Path) -> None:
    path = clone / "data/clean/ledger.csv"
    rows = files.read_rows(path)
    rows[0]["label"], rows[-1]["label"] = rows[-1]["label"], rows[0]["label"]
    files.write_rows(path, list(rows[0]), rows)


def hidden_seed(clone: Path) -> None:
    unlisted_seed(clone)
    (clone / "results/mlp/.gitignore").write_text("/7\n")


def weights_of_a_seed(clone: Path) -> None:
    files.write_text(clone / "runs/mlp/7/model.safetensors", "the best of ten")


def renamed_seed(clone: Path) -> None:
    """Seed 0 again, as seed 1; the lock is made to fit."""
    for stage in ("train", "evaluate"):
        path = f"results/mlp/1/{stage}"
        shutil.rmtree(clone / path)
        shutil.copytree(clone / f"results/mlp/0/{stage}", clone / path)
        committed.forge(clone, path)


def edited_page(clone: Path) -> None:
    committed.replace(clone / "reports/index.html", " ± ", " ∓ ")


def edited_table(clone: Path) -> None:
    committed.replace(next((clone / "reports/tables").glob("*.tex")), "&", "& 1")


def other_lr_in_the_lock_too(clone: Path) -> None:
    """As `dvc commit --force` leaves it: nothing was trained, nothing seems stale."""
    other_lr(clone)
    path = clone / "dvc.lock"
    path.write_text(path.read_text().replace("lr: 0.001", "lr: 0.002"))


def dropped_dependency(clone: Path) -> None:
    """DVC compares what dvc.yaml names; a dependency that it no longer names can change unseen."""
    path = clone / "dvc.yaml"
    before, train = path.read_text().split("\n  train:")
    path.write_text(f"{before}\n  train:" + train.replace("      - stages/train\n", "", 1))


def frozen_stage(clone: Path) -> None:
    committed.replace(
        clone / "dvc.yaml",
        "    cmd: python -m stages.train",
        "    frozen: true\n    cmd: python -m stages.train",
    )


def dropped_variant(clone: Path) -> None:
    def change(params: dict[str, Any]) -> None:
        params["variants"] = {"other": params["variants"]["mlp"]}

    tiny.edit(clone / "params.yaml", change)


def other_size(clone: Path) -> None:
    size = (clone / "results/cells.csv").stat().st_size
    committed.replace(clone / "dvc.lock", f"size: {size}\n", "size: 5\n")


def link(clone: Path) -> None:
    (clone / CELL).rename(clone / "elsewhere")
    (clone / CELL).symlink_to(clone / "elsewhere")


def other_code(clone: Path) -> None:
    path = clone / "stages/train/run.py"
    path.write_text(path.read_text() + "\n# a change\n")


def missing_cell(clone: Path) -> None:
    tiny.edit(clone / "params.yaml", lambda params: params["seeds"].append(2))


def extra_cell(clone: Path) -> None:
    tiny.edit(clone / "params.yaml", lambda params: params["seeds"].remove(1))


def removed_result(clone: Path) -> None:
    shutil.rmtree(clone / CELL)


def other_hash(clone: Path) -> None:
    """The weights' hash is edited where train wrote it, but not where evaluate read it."""
    path = clone / "dvc.lock"
    lines = path.read_text().splitlines()
    out = next(i for i, line in enumerate(lines) if line.endswith("path: runs/mlp/0/model.safetensors"))
    at = next(i for i in range(out, len(lines)) if "md5: " in lines[i])
    lines[at] = lines[at].split("md5: ")[0] + "md5: " + "a" * 32
    path.write_text("\n".join(lines) + "\n")


FORGERIES = [
    (
        edited_metric,
        [f"{CELL}: not what dvc.lock recorded: metrics.csv edited (row", "metric nll), value: recorded"],
    ),
    (edited_picture, ["reports/figures: not what dvc.lock recorded: curves_mlp.png edited (400 of"]),
    (
        swapped_label,
        ["data/clean/manifest.csv: not what dvc.lock recorded: edited (row 1", "label: recorded 8, here"],
    ),
    (swapped_label_in_the_ledger, ["data/clean/ledger.csv: not what dvc.lock recorded: edited (row 1"]),
    (picture_in_another_class, ["ingest: stale: data/source modified since it was run"]),
    (
        unlisted_seed,
        ["results/mlp/7: an unlisted cell: ", "the cells of this study are mlp-0, mlp-1", "results modified"],
    ),
    (hidden_seed, ["results/mlp/7: an unlisted cell: ", "the cells of this study", "an ignore rule hides it from git"]),
    (weights_of_a_seed, ["runs/mlp/7: an unlisted cell: this file is not the output of a stage"]),
    (renamed_seed, ["results/mlp/1/train/config.json: not a run of this cell: seed: trained with 0, asked for 1"]),
    (changed_split, ["data/split/seeds: not what dvc.lock recorded: 0.csv edited (row 1", "train@mlp-0: stale"]),
    (edited_report, ["reports/report.md: not what dvc.lock recorded: edited (line ", "here '"]),
    (edited_page, ["reports/index.html: not what dvc.lock recorded: edited (line "]),
    (edited_table, ["reports/tables: not what dvc.lock recorded: ", ".tex edited (line "]),
    (other_lr, ["train@mlp-0: stale: lr of params.yaml modified", "train@mlp-1: stale"]),
    (
        other_lr_in_the_lock_too,
        ["config.json: not a run of this cell: cell.lr: trained with 0.001, asked for 0.002"],
    ),
    (other_code, ["train@mlp-0: stale: stages/train modified since it was run"]),
    (dropped_dependency, ["train@mlp-0: dvc.lock has the dependency stages/train, but dvc.yaml"]),
    (frozen_stage, ["train@mlp-0: the stage is frozen in dvc.yaml, so DVC"]),
    (dropped_variant, ["train@mlp-0: dvc.lock has this stage, but dvc.yaml"]),
    (other_size, ["results/cells.csv: dvc.lock was edited: it says 5 bytes, the file has "]),
    (link, [f"{CELL}: a link to another place"]),
    (missing_cell, ["train@mlp-2: dvc.yaml and params.yaml ask for this stage", "evaluate@mlp-2: dvc.yaml"]),
    (extra_cell, ["train@mlp-1: dvc.lock has this stage, but dvc.yaml"]),
    (removed_result, [f"{CELL}: dvc.lock recorded this file, but it is not in git"]),
    (other_hash, ["evaluate@mlp-0: stale: it was run on a runs/mlp/0/model.safetensors"]),
]
EACH_TIME = {
    edited_metric, picture_in_another_class, unlisted_seed, changed_split, other_lr, dropped_dependency, removed_result,
}  # fmt: skip
