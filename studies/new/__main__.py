"""`python -m studies.new IMAGES`, or `make new IMAGES=PATH [NAME=...]`: from a folder of pictures to a study of it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.cells.check import check
from stages.core import console, errors, params, rendered
from stages.core.errors import UserError
from studies.new import groups, names, networks, notes, pictures, probe, proposal, refusals, study, tables, words
from studies.new import layout as layouts
from studies.new import listing as listings
from studies.new.proposal import Proposal, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.new.layout import Layout
    from studies.new.listing import Listing
    from studies.new.names import Parts

_WAYS = {
    "parent": "the folder that holds the picture",
    "path": "all folders joined",
    "name": "a part of the file's name",
    "table": "a column of the table",
}

REPOSITORY = study.STUDIES.parent


def main() -> None:
    """Look, propose, ask what cannot be known, write, and say how to run it."""
    options = _options()
    images = _images(options.images)
    name = options.name or study.proposed_name(images)
    folder = study.check_name(name, study.STUDIES)
    beside = ""
    if images.is_file() and not listings.is_archive(images):
        file, images = images, _of_table(images, folder, options)
        if images.is_file():
            return
        beside, options.label = file.name, options.label or "table"
    listing = listings.look(images)
    if beside:
        listing = replace(listing, tables=[beside])
    parts = names.parts(listing.pictures)
    found, unread = _tables(listing, options)
    layout = _layout(listing, parts, found, options)
    if unread and (layout is None or len(layout.counts) < 2 or options.label == "table"):
        raise UserError(unread[0])
    layout = refusals.refuse(listing, layout, parts)
    if layout.table and layout.keys["table"].get("part"):
        parts = names.parts_of_column(layout.table.parts) or parts
    looked = refusals.refuse_damage(listing, pictures.look(listing))
    page = [f"{images}:", "", *words.found(listing, layout, looked)]
    page += [f"- {note}" for note in notes.of_tables(found, unread, layout)]
    page += [f"- {note}" for note in notes.of_data(listing, layout, looked, parts)]
    _say(["Found", "", *page[2:]])
    together = groups.choose(layout, parts, looked, options, _ask)
    plan = proposal.propose(listing, together, parts, looked, options, networks.machine())
    if listing.is_archive:
        suffix = next(
            end for end in sorted(listings.ARCHIVES, key=len, reverse=True) if listing.root.name.lower().endswith(end)
        )
        plan = replace(plan, source=Source("archive", f"{study.LINK}{suffix}"))
    _finish(folder, plan, listing, page[2:], options)


def _finish(
    folder: Path, plan: Proposal, listing: Listing, page: list[str], options: Any, rows: Sequence[dict[str, str]] = ()
) -> None:
    """Say what is proposed, measure, write the study, and say how to run it; `rows`: of a list of addresses."""
    text = study.params_text(folder.name, plan)
    checked = _checked(text)
    shown = words.proposed(plan, _variants(text))
    _say(["", "Proposed", "", *shown])
    time = ""
    if not options.no_probe and not rows:
        predicted = probe.predict(checked, plan, len(listing.pictures), probe.measure(checked, listing, plan))
        time = probe.said(predicted.total)
    readme = study.readme_text(folder.name, plan, [*page, *shown])
    study.write(folder, plan, text, readme, listing.root, rows)
    _say(["", *words.ending(folder.name, time)])


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m studies.new", description=__doc__)
    parser.add_argument("images", help="a folder of pictures, a zip or tar of one, or a table of files or addresses")
    parser.add_argument(
        "--name", help="of the study and of its folder below studies/ (default: the name of the pictures' folder)"
    )
    parser.add_argument(
        "--label",
        help="what the label is: parent (the folder that holds the picture), path (all folders joined), name (a part "
        "of the file's name), table (a column of a table), or the level of a folder (1, 2 ...)",
    )
    parser.add_argument("--label-column", help="the column of the table that is the label")
    parser.add_argument("--split", choices=["published", "new"], help="use parts that the folder has, or draw new ones")
    parser.add_argument(
        "--group",
        help="what keeps pictures together: auto (what is seen, however few groups that are), none, the column of a "
        "table, or a pattern with (?P<group>...)",
    )
    parser.add_argument("--seeds", type=int, help="how many times each network is trained")
    parser.add_argument("--yes", action="store_true", help="ask nothing, accept every proposal")
    parser.add_argument("--no-probe", action="store_true", help="do not measure how long the study will take")
    options = parser.parse_args()
    if options.label and not (
        options.label in {"parent", "path", "name", "table"} or re.fullmatch(r"[1-9]\d?", options.label)
    ):
        raise UserError(
            f"--label is {options.label!r}; it can be parent, path, name, table, or the level of a folder (1, 2 ...)"
        )
    if options.seeds is not None and not 1 <= options.seeds <= 1000:
        raise UserError(f"--seeds is {options.seeds}; it must be a number from 1 up to 1000")
    return options


def _images(text: str) -> Path:
    """The folder or file that is meant.

    Raises:
        UserError: it is not there, or it holds this repository.
    """
    if not text.strip():
        raise UserError("IMAGES is empty; name the folder of your pictures: make new IMAGES=~/pictures")
    path = Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - `resolve` would follow a link that the user means
    if not path.exists():
        raise UserError(f"{path} is not here; name the folder of your pictures: make new IMAGES=~/pictures")
    if REPOSITORY.is_relative_to(path.resolve()):
        raise UserError(f"{path} holds this repository itself; put the pictures into a folder of their own")
    return path


def _of_table(file: Path, folder: Path, options: Any) -> Path:
    """A table by itself: of addresses, then the study is written here; or of files beside it, then their folder."""
    if file.suffix.lower() not in listings.TABLES:
        raise UserError(
            f"{file} is neither a folder, nor a zip or tar, nor a table (CSV, TSV, Parquet, JSON Lines); unpack it, or "
            "name the folder of the pictures"
        )
    found = tables.addresses(file, options.label_column or "")
    if found is None:
        return _images(str(file.parent))
    if options.group not in (None, "auto", "none"):
        raise UserError(f"--group is {options.group!r}, but a list of addresses has no groups; leave the flag out")
    listing = listings.Listing(file, list(found.labels))
    layout = refusals.refuse(listing, layouts.Layout(proposal.ADDRESSES, found.labels, ""), None)
    page = [
        f"- {found.named:,} addresses in the column {found.path!r}. The label is the column {found.label!r}.",
        f"- {words.classes(layout)}",
    ]
    _say(["Found", "", *page])
    plan = proposal.propose(listing, groups.Groups(layout), None, pictures.Looked(), options, networks.machine())
    plan = replace(plan, source=Source("urls", study.LIST), ingest={})
    rows = [row for row in found.rows if row["label"] in plan.counts]
    _finish(folder, plan, listing, page, options, rows)
    return file


def _layout(listing: Listing, parts: Parts | None, found: list[tables.Table], options: Any) -> Layout | None:
    layout = layouts.decide(listing.pictures, parts, found, options.label)
    if options.label and listing.pictures:
        given = list(layout.counts) if layout else []
        if not given or names.named_like_parts(given):
            what = f"takes {words.listed(given)} for labels, which are names of parts of a data set" if given else ""
            raise UserError(
                f"--label {options.label} {what or 'finds no label'} in {listing.root}; leave the flag out to see what "
                "can be the label"
            )
    if layout is None or not layout.others or options.label:
        return layout
    ways = {str(layout.rule): len(layout.counts), **layout.others}
    said = ", ".join(
        f"{way} ({_WAYS.get(way, 'the folder at that level')}: {count} classes)" for way, count in ways.items()
    )
    answer = _ask(f"What is the label: {said}?", list(ways), str(layout.rule), "--label", options)
    return layout if answer == str(layout.rule) else layouts.decide(listing.pictures, parts, found, answer)


def _ask(question: str, answers: list[str], proposed: str, flag: str, options: Any) -> str:
    """The user's answer; without a terminal, or with --yes, what is proposed."""
    if options.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        _say([f"- {question} Taken: {proposed} ({flag} changes it)."])
        return proposed
    while True:
        said = console.shown(f"{question} {'/'.join(answers)} [{proposed}] ")
        print(said, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer or not answer.strip():
            return proposed
        chosen = next((one for one in answers if one.lower() == answer.strip().lower()), None)
        if chosen is not None:
            return chosen


def _tables(listing: Listing, options: Any) -> tuple[list[tables.Table], list[str]]:
    """The tables; where several columns of the first could be the label, the user is asked. And what was not read."""
    group = options.group or ""
    found, unread = tables.find(listing, options.label_column or "", group)
    if options.label_column:
        if not found or found[0].label != options.label_column:
            raise UserError(
                f"--label-column is {options.label_column!r}, but no table of {listing.root} that names pictures has "
                "that column"
            )
        options.label = options.label or "table"
    elif found and found[0].others and found[0].sure and options.label in (None, "table"):
        ways = [found[0].label, *found[0].others]
        said = f"Which column of {found[0].file!r} is the label: {', '.join(map(repr, ways))}?"
        answer = _ask(said, ways, found[0].label, "--label-column", options)
        return (found, unread) if answer == found[0].label else tables.find(listing, answer, group)
    return found, unread


def _checked(text: str) -> params.Study:
    """params.yaml as the stages will read it: what is wrong in it is our mistake, and is found here."""
    try:
        raw = rendered.parse(text.encode())
        rendered.check(raw)
    except rendered.RefusedError as error:
        raise UserError(f"{error}; a name of the folder or of a table does not fit, so rename it") from None
    checked = params.Study(raw["study"], float(raw["lr"]), list(raw["seeds"]), raw["variants"], raw)
    check(checked)
    return checked


def _variants(text: str) -> dict[str, str]:
    """What each variant is, from its comment."""
    return dict(re.findall(r"^  (\w+): # (.+)$", text.partition("\nvariants:")[2].partition("\nevaluate:")[0], re.M))


def _say(lines: list[str]) -> None:
    for line in words.wrapped(lines):
        print(console.shown(line))  # a name from disk may be any bytes
    sys.stdout.flush()


if __name__ == "__main__":
    errors.run(main)
