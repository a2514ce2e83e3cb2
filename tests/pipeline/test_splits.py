"""Seeds with splits of their own, end to end on a tiny study."""

from pathlib import Path
from typing import Any

import pytest

from stages.core import files
from tests import tiny

pytestmark = [pytest.mark.slow, pytest.mark.weekly]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds on each of two splits, reproduced once and committed."""

    def nested(params: dict[str, Any]) -> None:
        params["seeds"] = [0, 1, 2, 3]
        params["split"].update(per_seed=True, seeds_per_split=2)
        params["variants"]["cnn"] = {"model": {"name": "cnn", "blocks": [{"filters": [4]}]}, "epochs": 2}

    folder = tiny.copy(tmp_path_factory.mktemp("nested"), nested)
    tiny.run(folder, "dvc", "repro", "report")
    tiny.commit(folder, "Reproduce")
    return folder


def test_the_parts_of_the_variance_reach_the_page(study: Path) -> None:
    splits = [(study / f"data/split/seeds/{seed}.csv").read_bytes() for seed in range(4)]
    assert splits[0] == splits[1] != splits[2] == splits[3]
    rows = files.read_rows(study / "reports/variance.csv")
    assert {row["part"] for row in rows} == {"initialisation", "split", "total"}
    (pair,) = files.read_rows(study / "reports/comparisons.csv")
    assert pair["covers"] == "images, seeds and splits"
    assert "Variation between seeds" in (study / "reports/index.html").read_text(encoding="utf-8")
    for seed in range(4):  # a cell's test images are those of its own split
        wanted = {
            r["image_id"] for r in files.read_rows(study / f"data/split/seeds/{seed}.csv") if r["split"] == "test"
        }
        for variant in ("mlp", "cnn"):
            found = files.read_frame(study / f"results/{variant}/{seed}/evaluate/predictions.parquet")
            assert set(found.loc[found["split"] == "test", "image_id"]) == wanted


def test_a_further_split_trains_only_its_cells(study: Path) -> None:
    output = tiny.run(study, "dvc", "repro", "--dry", "report")
    assert "Running stage 'train@" not in output
    tiny.edit(study / "params.yaml", lambda params: params["seeds"].extend([4, 5]))
    output = tiny.run(study, "dvc", "repro", "report")
    trained = {line.split("train@")[1].split("'")[0] for line in output.splitlines() if "Running stage 'train@" in line}
    assert trained == {"mlp-4", "mlp-5", "cnn-4", "cnn-5"}
    assert "The images were split 3 times" in (study / "reports/index.html").read_text(encoding="utf-8")
