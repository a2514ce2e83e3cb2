"""Labels that programs take for numbers, for nothing or for code stay text from the source to the page."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import tiny

LABELS = ["nan", "NA", "null", "true", "01", "1", "a b", 'it\'s "so"', "แมว", "=1+1", "-5", "1e3", "1.0", "None", "x,y"]
FOLDER = 'it\'s "my" รูป'  # of the pictures


@pytest.mark.slow
def test_labels_stay_text_in_every_file_of_a_study(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in LABELS:
        (tmp_path / FOLDER / label).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
                tmp_path / FOLDER / label / f"clip{i}_1.png"
            )

    def change(params: dict[str, Any]) -> None:
        group = {"pattern": "(?P<group>.+)_"}
        params["ingest"] = {"source": "folder", "path": str(tmp_path / FOLDER), "group": group, "min_images": 2}
        params["seeds"] = [0]

    study = tiny.copy(tmp_path, change)
    tiny.run(study, "dvc", "repro", "report")
    assert sorted(json.loads((study / "data/split/classes.json").read_text())) == sorted(LABELS)
    counts = json.loads((study / "data/split/summary.json").read_text())["splits"][0]
    assert set(counts["counts"]["test"]) == set(LABELS)
    assert sum(counts["named_groups"].values()) == 6 * len(LABELS)
    read = 0
    for path in sorted(p for top in ("data", "results", "reports") for p in (study / top).rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for column in {"label", "predicted"} & set(rows[0] if rows else ()):
            found = {row[column].removeprefix("'") if row[column].startswith("'=") else row[column] for row in rows}
            assert found <= set(LABELS), f"{path.relative_to(study)}: {found - set(LABELS)}"
            read += found == set(LABELS)
    assert read >= 6, "manifests, ledger, per_class and confusion have them all"
    page = (study / "reports/index.html").read_text()
    assert "แมว" in page
    assert "Groups named by ingest.group or its table, each whole in one part: " in page
