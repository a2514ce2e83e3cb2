"""`python -m stages.verify`: verify the study in the working folder; exit 0 only if all checks hold.

With `--studies`: the study of the root with the other arguments, and every published study by checks 1 and 2. A study
that does not hold or cannot be verified does not stop the others. Each runs in a process of its own, as many at once as
there are cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import children, console, errors, files, params, seeding
from stages.core.errors import UserError
from stages.verify import certificate, lock_check, rerun, scratch
from stages.verify.certificate import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HOME = Path(__file__).parents[2]  # of the code that judges; it may be another clone than the one that is judged
STUDIES = "--studies"


def main() -> None:
    """Verify one study or all."""
    chosen = _arguments()
    if chosen.studies:
        verify_all([argument for argument in sys.argv[1:] if argument != STUDIES])
    else:
        verify(chosen)


def verify(chosen: argparse.Namespace) -> None:
    """Run the three checks on the study in the working folder and write the certificate."""
    began = time.time()
    certificate.forget(Path.cwd())
    study, place = params.read(), scratch.here()
    cells = _cells(chosen, study)
    here, machines = certificate.this_machine(), certificate.machines(place, study.cells)
    if chosen.record:
        certificate.record_environment(place, here | _threads(machines))
        return
    made_with, wrong = certificate.recorded_environment(place)
    source = str(study.raw["ingest"].get("path", ""))
    console.say("1. dvc.lock against dvc.yaml, params.yaml, code and files")
    with scratch.copy(place, source) as copy:
        checks = [_done("lock", lambda: lock_check.check(place, copy, source))]
        settings = list[dict[str, Any]]()
        with contextlib.suppress(UserError):  # check 1 says then why params.yaml has none
            settings += lock_check.resolved_settings(copy).values()
    here |= _threads(settings)
    console.say("2. tables and report from the files in git")
    checks.append(_done("tables and pages", lambda: rerun.from_git(place)))
    if why := _why_not(chosen, study, place, source):
        console.say(f"3. not run again: {why}")
        checks.append(rerun.not_run(why))
    else:
        console.say(f"3. {'the whole study' if cells is None else f'{len(cells)} cells'} again, from raw data")
        options = {
            "jobs": max(1, chosen.jobs or _side_by_side(settings, gpu=bool(here["gpu"]))),
            "same_cpu": made_with.get("cpu", here["cpu"]) == here["cpu"],
            "refetched": study.raw["ingest"].get("source") == "urls",
        }
        checks.append(_done("run again", lambda: rerun.from_raw(place, cells, source, **options)))
    described = {
        "here": here,
        "made_with": made_with | _threads(machines),
        "machines": machines,
        "notes": [wrong] if wrong else [],
        "unpinned": certificate.unpinned(place),
    }
    signed = certificate.build(place, study.name, checks, described)
    circumstances = {
        "clone": str(place.root),
        "began": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(began)),
        "seconds": round(time.time() - began),
    }
    certificate.write(place.folder, signed, circumstances)
    print(certificate.text(signed, circumstances))
    sys.exit(0 if signed["holds"] else 1)


def _done(name: str, check: Callable[[], Check]) -> Check:
    """The result of a check; if the check cannot be made (dvc.lock is no YAML, say), one that gives the reason."""
    try:
        return check()
    except UserError as error:
        broken = Check(name, "this could not be checked")
        broken.add(name, "not checked", str(error))
        return broken


def _why_not(chosen: argparse.Namespace, study: params.Study, place: scratch.Place, source: str) -> str | None:
    """Why no cell is trained again; None if cells are."""
    if chosen.no_rerun:
        return "--no-rerun is set"
    kind = study.raw["ingest"].get("source")
    if chosen.cells or chosen.sample or chosen.all or kind == "digits":
        return None
    if kind == "urls":
        return (
            "the raw data of this study is on the network; --cells, --sample or --all fetches it and runs cells again"
        )
    if place.git("ls-files", "--", source, check=False):
        return None
    where = "is here" if (place.folder / source).exists() else "is not here"
    return f"the raw data of this study is not in git ({source} {where}); --cells, --sample or --all runs cells again"


def _threads(records: Iterable[dict[str, Any]]) -> dict[str, str]:
    """How many threads the cells use, by their settings or records; params.yaml sets it, not the machine."""
    counts = sorted({int(one["threads"]) for one in records})
    return {"threads": ", ".join(map(str, counts))} if counts else {}


def _side_by_side(settings: Iterable[dict[str, Any]], *, gpu: bool) -> int:
    """As many cells as the cores can feed; one where cells may use a GPU, whose memory they would share."""
    busiest = max((one["threads"] * one.get("processes", 1) for one in settings), default=1)
    return 1 if gpu else max(1, children.cores() // busiest)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stages.verify", description=__doc__, allow_abbrev=False)
    parser.add_argument(STUDIES, action="store_true", help="verify every study of this repository")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--cells", nargs="+", metavar="VARIANT-SEED", help="run these cells again")
    what.add_argument("--sample", type=int, metavar="N", help="run N cells again, drawn at random with --seed")
    what.add_argument("--all", action="store_true", help="run the whole study again, even if its data is not in git")
    what.add_argument("--no-rerun", action="store_true", help="train nothing; make only checks 1 and 2")
    what.add_argument(
        "--record", action="store_true", help="for the authors of a study: write environment.json and check nothing"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="stages side by side (default: as many as the cores can feed; 1 with a GPU)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed for --sample (default 0)")
    return parser.parse_args()


def _cells(chosen: argparse.Namespace, study: params.Study) -> list[tuple[str, int]] | None:
    """The cells to run again; None if the user chose none."""
    if chosen.cells:
        known = study.by_name
        for name in chosen.cells:
            if name not in known:
                raise UserError(f"--cells: params.yaml has no cell {name}; the cells are {', '.join(known)}")
        return [known[name] for name in dict.fromkeys(chosen.cells)]
    if chosen.sample is None:
        return None
    if not 1 <= chosen.sample <= len(study.cells):
        raise UserError(
            f"--sample is {chosen.sample}; it must be from 1 to {len(study.cells)}, the number of cells in the study"
        )
    draw = seeding.generator(chosen.seed, "verify").permutation(len(study.cells))[: chosen.sample]
    return [study.cells[index] for index in sorted(draw)]


@dataclass(frozen=True)
class Outcome:
    """How the verification of one study ended."""

    study: str
    code: int
    output: str
    signed: dict[str, Any] | None  # the certificate; None: there is none
    seconds: float

    @property
    def row(self) -> list[str]:
        """Its line of the summary."""
        verdict = "holds" if not self.code else "does not hold" if self.signed else "could not be verified"
        checks = [check["verdict"] for check in self.signed["checks"]] if self.signed else [""] * 3
        return [self.study, verdict, *checks, f"{self.seconds:.0f} s"]


def verify_all(arguments: Sequence[str]) -> None:
    """Verify all studies and exit 0 only if all hold; the arguments are for the study of the root."""
    root = scratch.here().root
    others = sorted(lock.parent for lock in root.glob("studies/*/dvc.lock"))
    with ThreadPoolExecutor(children.cores()) as pool:
        started = [pool.submit(_judge, root, arguments, watched=True)]  # first, since it takes longest
        started += [pool.submit(_judge, folder, ["--no-rerun"]) for folder in others]
        for ended in as_completed(started):
            print(ended.result().output, flush=True)
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
