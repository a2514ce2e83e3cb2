"""What reaches a terminal is text, and processes start below a TMPDIR of any length."""

import multiprocessing
import tempfile
from multiprocessing import util
from pathlib import Path

import pytest

from stages.core import children, console


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("a\x1b]0;own\x07b\u202ec\udce9\nBäume\u3000漢")
    assert capsys.readouterr().err == "a\\x1b]0;own\\x07b\\u202ec\\udce9\nBäume\u3000漢\n"


@pytest.mark.parametrize("long", [False, True])
def test_sockets_have_short_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: bool) -> None:
    folder = tmp_path / ("t" * 90 if long else "t")
    folder.mkdir()
    monkeypatch.setattr(children, "LONGEST", len(str(tmp_path)) + 10)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {})
    children.short_sockets()
    kept = Path(util.get_temp_dir())
    assert kept.parent == (Path("/", "tmp") if long else folder)
