"""`python -m stages.curate.fiftyone`: sends the pictures of a study to FiftyOne, and reads decisions back.

`export` makes a dataset. Tags `drop`, `keep` and `relabel:LABEL`, or another label in `ground_truth`, are decisions;
`import` brings these into data/curation.csv, by the rules of the page of `make curate`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import curation, errors, files, labels
from stages.core.console import progress, say
from stages.core.errors import UserError
from stages.curate.__main__ import git_name, open_desk
from stages.curate.app import Asked, Shown
from stages.curate.findings import rows
from stages.curate.pictures import SIDES
from stages.curate.store import ConflictError, shown

if TYPE_CHECKING:
    from stages.curate.app import Desk
    from stages.curate.findings import Picture

DRAWN = Path(".cache/curate/fiftyone")  # pictures that clean left out, decoded and written anew
RELABEL = "relabel:"


def main() -> None:
    """Export or import."""
    parser = argparse.ArgumentParser(prog="python -m stages.curate.fiftyone", description=__doc__)
    parser.add_argument("what", choices=["export", "import"])
    parser.add_argument("--name", help="of the dataset in FiftyOne; without it, the study's")
    parser.add_argument("--env", help="the virtual environment that FiftyOne is in, if it is not in this one")
    parser.add_argument("--who", help="the name beside each decision; without it, git's user.name")
    parser.add_argument("--reason", default="decided in FiftyOne", help="beside each decision")
    parser.add_argument(
        "--sure", action="store_true", help="take labels that are new or nearly those of other pictures"
    )
    asked = parser.parse_args()
    desk = open_desk(git_name() if asked.who is None else asked.who)
    fo, name = api(asked.env), asked.name or desk.title
    if asked.what == "export":
        send(fo, desk, name)
    else:
        bring(fo, desk, name, asked.reason, sure=asked.sure)


def api(env: str | None) -> Any:
    """Import FiftyOne, from this environment or from the packages of `env`.

    Raises:
        UserError: it is not there, or the environment is none or has another Python.
    """
    if env:
        packages = Path(env).expanduser() / "lib/python{}.{}/site-packages".format(*sys.version_info)
        if not packages.is_dir():
            raise UserError(
                f"--env {env}: no folder {packages}; name a virtual environment that was made with the Python of .venv"
            )
        sys.path.append(str(packages.resolve()))
        # its database is started by a process of its own
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), sys.path[-1]]))
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")  # nothing leaves this machine by itself
    try:
        return importlib.import_module("fiftyone")
    except ImportError as error:
        raise UserError(
            f"FiftyOne is not here ({error}); install it into an environment of its own, since it needs other versions "
            "of some packages (`python -m venv ~/fiftyone && ~/fiftyone/bin/pip install fiftyone`), and name that: "
            "--env ~/fiftyone"
        ) from None


def send(fo: Any, desk: Desk, name: str) -> None:
    """Make a dataset of all pictures that can be opened.

    Raises:
        UserError: there is a dataset of this name, in which decisions may lie.
    """
    if name in fo.list_datasets():
        delete = f"`fiftyone datasets delete {shlex.quote(name)}`"
        words = f"import its decisions and delete it ({delete}), or choose another --name"
        raise UserError(f"FiftyOne has a dataset {name!r}; {words}")
    told = _told(fo)
    samples = [
        fo.Sample(filepath=str(path.resolve()), **_fields(fo, desk, picture), **told.get(picture.image_id, {}))
        for picture in progress(desk.study.pictures, desc="export")
        if picture.sha256 and (path := _file(desk, picture))
    ]
    fo.Dataset(name, persistent=True).add_samples(samples)
    without = len(desk.study.pictures) - len(samples)
    say(f"export: {len(samples)} pictures are in the dataset {name!r}; of {without} rows no picture can be shown")


def _file(desk: Desk, picture: Picture) -> Path | None:
    """The file of a kept picture; any other picture is drawn anew, since its file may be anything."""
    if picture.image and Path(picture.image).is_file():
        return Path(picture.image)
    if (data := desk.pictures.drawn(picture, SIDES[-1])) is None:
        return None
    with files.atomic(DRAWN / f"{picture.mark}.{'png' if data[1:4] == b'PNG' else 'jpg'}") as partial:
        partial.write_bytes(data)
    return DRAWN / f"{picture.mark}{partial.suffix}"


def _fields(fo: Any, desk: Desk, picture: Picture) -> dict[str, Any]:
    known = desk.store.decisions()
    every = [one for subject, one in known.items() if picture.name in subject]
    return {
        "ground_truth": fo.Classification(label=picture.label) if picture.label else None,
        "tags": sorted({f"{RELABEL}{one.value}" if one.decision == "relabel" else one.decision for one in every}),
        **{key: getattr(picture, key) for key in ("sha256", "label", "status", "reason", "detail")},
        "source": picture.name,
        "decided": shown(known.get((picture.name,))),
    }


def _told(fo: Any) -> dict[str, dict[str, Any]]:
    """What the tables of the study say of an image: its group, and what is in doubt; not its part of the split."""
    told: dict[str, dict[str, Any]] = {}
    for row in rows(Path("data/clean/manifest.csv")):
        told[row["image_id"]] = {"group_id": row["group_id"]}
    for table, key, number in (("", "networks", "confidence"), ("audit/", "audit", "predicted_probability")):
        for row in rows(Path(f"reports/{table}suspects.csv")):
            said = fo.Classification(label=row["predicted"], confidence=float(row[number] or 0))
            told.setdefault(row["image_id"], {})[key] = said
    for row in rows(Path("reports/audit/outliers.csv")):
        told.setdefault(row["image_id"], {})["distance"] = float(row["distance"] or 0)
    return told


def bring(fo: Any, desk: Desk, name: str, reason: str, *, sure: bool = False) -> None:
    """Write into data/curation.csv what a person changed in the dataset since it was exported, or imported last.

    Raises:
        UserError: there is no such dataset, or it was not made by `export`.
    """
    if name not in fo.list_datasets() or "decided" not in fo.load_dataset(name).get_field_schema():
        raise UserError(f"FiftyOne has no dataset {name!r} that `python -m stages.curate.fiftyone export` made")
    known = {(picture.name, picture.sha256): picture for picture in reversed(desk.study.pictures)}
    taken = 0
    for sample in fo.load_dataset(name):
        try:
            if (now := _wanted(sample)) == sample["decided"]:
                continue
            taken += _decide(
                desk, known.get((sample["source"], sample["sha256"])), sample["decided"], now, reason, sure
            )
        except (UserError, ConflictError) as error:
            why = error if isinstance(error, UserError) else f"{curation.FILE} has another decision since the export"
            say(f"import: not taken: {sample['source']}: {why}")
            continue
        sample["decided"] = now
        sample.save()
    say(f"import: {taken} {'change is' if taken == 1 else 'changes are'} in {curation.FILE} now")


def _wanted(sample: Any) -> str:
    """The decision that a sample is marked with, in the words of `store.shown`."""
    given = [tag.removeprefix(RELABEL) for tag in sample.tags if tag.startswith(RELABEL)]
    truth = sample["ground_truth"]
    if truth is not None and truth.label != sample["label"]:
        given.append(truth.label or "")
    found = {tag for tag in sample.tags if tag in ("drop", "keep")} | {f"relabel {labels.tidy(o)}" for o in given}
    if len(found) > 1:
        raise UserError(f"it is marked as {' and '.join(sorted(found))}; leave one")
    return "".join(found)


def _decide(desk: Desk, picture: Picture | None, was: str, now: str, reason: str, sure: bool) -> bool:
    """Make one decision as the page does; a decision other than `was`, which FiftyOne knew, is not overwritten."""
    if picture is None:
        raise UserError("this study does not have the file any more")
    subject = (picture.name,)
    if shown(desk.store.decisions().get(subject)) == now:
        return False
    if not now:
        return desk.store.decide({subject: None}, {subject: was})
    decision, _, value = now.partition(" ")
    asked = Asked.model_construct(pictures=[picture.number], decision=decision, value=value, sure=sure)
    asked.reason, asked.shown = reason[: labels.LONGEST], [Shown(names=[picture.name], was=was)]
    done = desk.decide(asked)
    if isinstance(done, bool):
        return done
    what = f"is nearly {done.instead!r}" if done.instead else "is new, or that of no other picture"
    raise UserError(f"the label {value!r} {what}; --sure takes it")


if __name__ == "__main__":
    errors.run(main)
