"""What the guard refuses before DVC reads it, asked without a DVC command."""

import os
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.fs import localfs

from stages.cells import guard

TEXT = """study: d
lr: 0.1
seeds: [0]
variants: {{mlp: {{}}}}
ingest: {{path: source}}
clean: {clean}
report: {{published: {published}, leak: leak.csv}}
"""


@pytest.mark.parametrize(
    ("published", "clean", "words"),
    [
        ("/dev/zero", "{}", "`report.published` is '/dev/zero', which is no file"),
        ("/proc/self/pagemap", "{}", "`report.published` is '/proc/self/pagemap', which is no file"),
        ("pipe", "{}", "`report.published` is 'pipe', which is no file"),
        (".", "{}", r"`report.published` is '\.', which is no file"),
        ("p.csv", "!!set {a}", "`clean` is a set"),
        ("p.csv", "{a: [2024-01-01]}", r"`clean\.a` is a date"),
        ("p.csv", "{a: !!binary aGk=}", r"`clean\.a` is a bytes"),
        ("p.csv", "{a: [1, 0.5, true, null, x], b: {c: d}}", ""),
    ],
)
def test_what_dvc_cannot_read_is_a_sentence(tmp_path: Path, published: str, clean: str, words: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "params.yaml").write_text(TEXT.format(published=published, clean=clean))
    if not words:
        guard._refuse_bad_params(localfs, str(tmp_path / "params.yaml"))
        return
    with pytest.raises(DvcException, match=words):
        guard._refuse_bad_params(localfs, str(tmp_path / "params.yaml"))


@pytest.mark.parametrize("path", ["s3:bucket/x", "remote:name", "https://h/x", "ssh:h", "file:///x"])
def test_an_address_is_no_path(tmp_path: Path, path: str) -> None:
    text = TEXT.format(published="p.csv", clean="{}").replace("path: source", f"path: '{path}'")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(DvcException, match=f"`ingest.path` is '{path}', which is no path"):
        guard._refuse_bad_params(localfs, str(tmp_path / "params.yaml"))
    (tmp_path / "params.yaml").write_text(text.replace(path, r"C:\pictures 10:30"))
    guard._refuse_bad_params(localfs, str(tmp_path / "params.yaml"))
