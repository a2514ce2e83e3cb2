"""`make bench` starts programs that are there, with arguments that they take; how long they take is not asked here."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys

import pytest

from tests import tiny


class StartedError(Exception):
    """The arguments were taken; what comes next would measure."""


def test_every_command_of_make_bench_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = argparse.ArgumentParser.parse_args

    def parse(*given: object) -> None:
        whole(*given)  # type: ignore[call-overload]
        raise StartedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", "setup", "bench"],
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    commands = [shlex.split(line) for line in done.stdout.splitlines()]
    assert len(commands) >= 5
    for command in commands:
        assert command[:2] == ["python", "-m"], command
        program = importlib.import_module(command[2])
        monkeypatch.setattr(sys, "argv", command[2:])
        if command[2] == "benchmarks.train":  # whose arguments are names of rows
            monkeypatch.setattr(program, "ROWS", {name: lambda: [("a row", "", "")] for name in program.ROWS})
            program.main()
            assert re.search(r"^\| a row \|", capsys.readouterr().out, re.M)
            continue
        with pytest.raises(StartedError):
            program.main()
