"""`python -m stages.verify`: judge the study in the working folder; exit 0 only if what was promised holds."""

from __future__ import annotations

import argparse
import sys
import time

from stages.core import console, errors, params, seeding
from stages.core.errors import UserError
from stages.verify import certificate, consistency, environment, rerun, scratch, tolerance


def main() -> None:
    """Check, make again, compare, and write the certificate."""
    chosen = _arguments()
    began = time.time()
    study, place = params.read(), scratch.here()
    cells = _cells(chosen, study)
    source = str(study.raw["ingest"].get("path", ""))
    here = environment.describe() | {"threads": study.raw["train"].get("threads")}
    if chosen.record:
        environment.record(place, here)
        return
    made_with, wrong = environment.recorded(place)
    console.say("1. dvc.lock against dvc.yaml, params.yaml, code and files")
    with scratch.copy(place, source) as copy:
        checks = [consistency.check(place, copy, source)]
    console.say("2. tables and report from the files in git")
    checks.append(rerun.from_git(place))
    embedded = study.raw["ingest"].get("source") == "digits" or bool(place.git("ls-files", "--", source))
    if cells or chosen.all or (embedded and not chosen.no_rerun):
        console.say(f"3. {'the whole study' if cells is None else f'{len(cells)} cells'} again, from raw data")
        checks.append(rerun.from_raw(place, cells, source, same_cpu=made_with.get("cpu", here["cpu"]) == here["cpu"]))
    elif not chosen.no_rerun:
        console.say(
            "3. not run again: the raw data of this study is not in git; --cells, --sample or --all runs it again"
        )
    described = {
        "here": here,
        "made_with": made_with,
        "machines": tolerance.machines(place, study.cells),
        "notes": [wrong] if wrong else [],
        "unpinned": environment.unpinned(place),
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stages.verify", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--cells", nargs="+", metavar="VARIANT-SEED", help="run these cells again")
    what.add_argument("--sample", type=int, metavar="N", help="run N cells again, drawn by --seed")
    what.add_argument("--all", action="store_true", help="run the whole study again, also if its data is not in git")
    what.add_argument("--no-rerun", action="store_true", help="train nothing: only checks 1 and 2")
    what.add_argument("--record", action="store_true", help="for the maker: write environment.json, check nothing")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of --sample (default 0)")
    return parser.parse_args()


def _cells(chosen: argparse.Namespace, study: params.Study) -> list[tuple[str, int]] | None:
    """The cells to run again; None: no choice was made."""
    if chosen.cells:
        names = {f"{variant}-{seed}": (variant, seed) for variant, seed in study.cells}
        for name in chosen.cells:
            if name not in names:
                raise UserError(f"--cells: params.yaml has no cell {name}; there are {', '.join(names)}")
        return [names[name] for name in dict.fromkeys(chosen.cells)]
    if chosen.sample is None:
        return None
    if not 1 <= chosen.sample <= len(study.cells):
        raise UserError(f"--sample is {chosen.sample}; the study has 1 to {len(study.cells)} cells to draw")
    draw = seeding.generator(chosen.seed, "verify").permutation(len(study.cells))[: chosen.sample]
    return [study.cells[index] for index in sorted(draw)]


if __name__ == "__main__":
    errors.run(main)
