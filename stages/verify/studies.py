"""`python -m stages.verify.studies`: verify the root's study, and every published study by checks 1 and 2.

A study that does not hold or cannot be verified does not stop the others. Each runs in a process of its own, as many at
once as there are cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import children, errors, files
from stages.verify import certificate, scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

HOME = Path(__file__).parents[2]  # of the code that judges; it may be another clone than the one that is judged


@dataclass(frozen=True)
class Outcome:
    """How the verification of one study ended."""

    study: str
    code: int
    said: str
    signed: dict[str, Any] | None  # the certificate; None: there is none
    seconds: float

    @property
    def row(self) -> list[str]:
        """Its line of the summary."""
        verdict = "holds" if not self.code else "does not hold" if self.signed else "could not be verified"
        checks = [check["verdict"] for check in self.signed["checks"]] if self.signed else [""] * 3
        return [self.study, verdict, *checks, f"{self.seconds:.0f} s"]


def main() -> None:
    """Verify all studies and exit 0 only if all hold; the arguments are for the study of the root."""
    root = scratch.here().root
    others = sorted(lock.parent for lock in root.glob("studies/*/dvc.lock"))
    with ThreadPoolExecutor(children.cores()) as pool:
        started = [pool.submit(_judge, root, sys.argv[1:], watched=True)]  # first, since it takes longest
        started += [pool.submit(_judge, folder, ["--no-rerun"]) for folder in others]
        for ended in as_completed(started):
            print(ended.result().said, flush=True)
    outcomes = [one.result() for one in started]
    print(table(outcomes))
    sys.exit(int(any(outcome.code for outcome in outcomes)))


def table(outcomes: list[Outcome]) -> str:
    """Which hold and which do not, a line a study."""
    rows = [["study", "verdict", "lock", "tables and pages", "run again", "took"], *(o.row for o in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _judge(folder: Path, arguments: Sequence[str], *, watched: bool = False) -> Outcome:
    """Judge one study; `watched`: its progress is shown as it goes."""
    began = time.monotonic()
    certificate.forget(folder)
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-P", "-m", "stages.verify", *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(HOME)}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=None if watched else subprocess.STDOUT,
    )  # fmt: skip
    path = folder / certificate.JSON
    signed = files.read_json(path)["certificate"] if path.exists() else None
    name = signed["study"] if signed and signed["folder"] == "." else folder.name  # as `make verify STUDY=` takes it
    return Outcome(name, done.returncode, done.stdout, signed, time.monotonic() - began)


if __name__ == "__main__":
    errors.run(main)
