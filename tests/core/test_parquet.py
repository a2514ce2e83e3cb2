"""A table in Parquet reads as the same table in a CSV, has the same bytes everywhere, and is refused where damaged."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.core import files
from stages.core.errors import UserError

TEXTS = ["NA", "007", "", "=1+1", "'x", 'Ωmega, "q"\n']
LOSS = np.array([0.1, 1e-12, 3.4e38, 0.0, np.float32(1) / 3, 12345.678], np.float32)
WRITE = """
import sys
import numpy as np
from stages.core import files
random = np.random.default_rng(0)
loss = random.random(5000).astype(np.float32)
files.write_parquet(sys.argv[1], {"label": [f"c{k % 7}" for k in range(5000)], "loss": loss})
"""


def test_it_reads_as_the_csv_of_the_same_values(tmp_path: Path) -> None:
    files.write_parquet(tmp_path / "t.parquet", {"label": TEXTS, "loss": LOSS})
    rows = [{"label": text, "loss": float(str(value))} for text, value in zip(TEXTS, LOSS, strict=True)]
    files.write_rows(tmp_path / "t.csv", ["label", "loss"], rows)
    one, other = (files.read_frame(tmp_path / f"t.{kind}", ["label"], ["loss"]) for kind in ("parquet", "csv"))
    pd.testing.assert_frame_equal(one, other)
    assert one["loss"].tolist() == [float(str(value)) for value in LOSS]


def test_a_split_without_images_is_a_table_without_rows(tmp_path: Path) -> None:
    files.write_parquet(tmp_path / "t.parquet", {"label": np.array([], str), "loss": np.array([], np.float32)})
    assert files.read_frame(tmp_path / "t.parquet", ["label"], ["loss"]).empty


def test_the_bytes_do_not_depend_on_the_processor(tmp_path: Path) -> None:
    for level in ("NONE", "MAX"):
        subprocess.run(
            [sys.executable, "-c", WRITE, str(tmp_path / level)],
            env={**os.environ, "ARROW_USER_SIMD_LEVEL": level}, check=True,
        )  # fmt: skip
    assert (tmp_path / "NONE").read_bytes() == (tmp_path / "MAX").read_bytes()


def test_damage_is_one_sentence_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(UserError, match=r"t\.parquet is not here"):
        files.read_frame(path)
    files.write_parquet(path, {"label": TEXTS, "loss": LOSS})
    whole = path.read_bytes()
    with pytest.raises(UserError, match="no column 'split'"):
        files.read_frame(path, ["split"])
    refused, random = [], np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole[: random.integers(len(whole))] if random.random() < 0.3 else whole)
        for place in random.integers(0, max(len(data), 1), random.integers(1, 6)):
            data[place : place + 1] = random.bytes(1)
        path.write_bytes(data)
        try:
            files.read_frame(path, ["label"], ["loss"])
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all("t.parquet" in sentence and "\n" not in sentence for sentence in refused)
