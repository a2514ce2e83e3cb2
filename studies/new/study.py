"""The folder of a study: params.yaml with its comments, README.md, .gitignore, and the link to the pictures."""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import curation, files
from stages.core.errors import UserError
from stages.report.page import code_in_markdown
from studies.new import networks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from studies.new.proposal import Proposal

    Rows = Sequence[dict[str, str]]

STUDIES = Path(__file__).parents[1]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
LINK = "source"
LIST = "addresses.csv"
_NO_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}  # which YAML may read as a truth or nothing
_RESERVED = {"sources", "new", "con", "nul", "aux", "prn"}

_INGEST = {
    "label": "parent: the folder that holds a picture | a number: the folder at that level | path | name | table",
    "name_pattern": "a regular expression on the file's name",
    "table": "the table, the column with the file, and the column with the label",
    "group": "pictures with the same group are never in two parts of a split",
    "min_images": "a class with fewer pictures after cleaning is left out",
}
_SPLIT = {
    "seed": "of the split; the seeds above are those of training",
    "val": "share, number or published folder of the pictures; validation chooses the epoch that counts",
    "test": "share, number or published folder of the pictures; looked at once, at the end",
    "per_seed": "every seed has a split of its own, so that the figures vary with the split too",
}


def proposed_name(images: Path) -> str:
    """A name for the study from that of the folder; letters that have no plain form are left out."""
    stem = images.name.split(".")[0] if images.is_file() else images.name
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:60].strip("_") or "pictures"
    return f"{name}_study" if name in _RESERVED else name


def check_name(name: str, studies: Path) -> Path:
    """The folder that the study will have.

    Raises:
        UserError: the name is none, or it is taken.
    """
    if not NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise UserError(
            f"NAME is {name!r}, which is no name for a study; a name has up to 60 letters a to z, digits, _ and -, "
            "begins with a letter or digit, and is not `sources` or `new`"
        )
    folder = studies / name
    taken = [one.name for one in studies.iterdir() if one.name.lower() == name.lower()]
    if taken or os.path.lexists(folder):
        raise UserError(
            f"studies/{taken[0] if taken else name} is there already, and nothing is overwritten; choose another name "
            f"(NAME=...), or run that study: make study STUDY={name}"
        )
    return folder


def params_text(name: str, proposal: Proposal) -> str:
    """params.yaml."""
    setting = proposal.setting
    seeds = "".join(f"  - {seed}\n" for seed in range(proposal.seeds))
    compare = (
        "balanced_accuracy # the mean over the classes, since some are rare"
        if proposal.balanced
        else "top1 # balanced_accuracy: every class counts the same, however rare"
    )
    return f"""\
# {name}: made by `make new`. Every key may be changed; `dvc status` shows what a change touches. docs/params.md lists
# all keys.

study: {_value(name)} # the title of the report, and the experiment of MLflow

lr: 0.001 # learning rate of every variant that names none of its own

seeds: # each variant is trained once for each seed; another seed trains only the new cells
{seeds}
{_source(proposal)}
clean:
  duplicates: drop # drop: keep the best copy | group: keep all, in one part of the split | ignore: do nothing
  label_conflicts: keep_none # one picture under several labels: keep_none | keep_majority | keep_all | fail

split:
{_keys(proposal.split, _SPLIT)}
{networks.train(setting, balanced=proposal.balanced)}
{networks.variants(setting)}
{networks.robustness(setting)}
aggregate:
  compare: {compare}
{networks.audit(setting)}
report:
  published: ../published.csv
  leak: ../leak.csv
"""


def _source(proposal: Proposal) -> str:
    where = {
        "folder": "a link to the folder; git leaves it out, so that no path of this machine is published",
        "archive": "a link to the archive; git leaves it out",
        "urls": "the addresses, fetched once",
    }[proposal.source.kind]
    head = f"ingest:\n  source: {proposal.source.kind}\n  path: {_value(proposal.source.path)} # {where}\n"
    return head + _keys(proposal.ingest, _INGEST)


def _keys(values: dict[str, Any], comments: dict[str, str]) -> str:
    lines = []
    for key, value in values.items():
        comment = f" # {comments[key]}" if key in comments else ""
        if isinstance(value, dict) and key == "table":
            lines.append(f"  {key}:{comment}\n" + "".join(f"    {k}: {_value(v)}\n" for k, v in value.items()))
        else:
            lines.append(f"  {key}: {_value(value)}{comment}\n")
    return "".join(lines)


def _value(value: Any) -> str:
    """A value as YAML on one line; whatever a text holds, it stays text."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key}: {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", value) and value.lower() not in _NO_TEXT:
        return value
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        raise UserError(f"the name {value!r} is no UTF-8, so params.yaml cannot hold it; rename the file or folder")
    written = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in written)  # YAML refuses or changes them


def readme_text(name: str, proposal: Proposal, page: Iterable[str]) -> str:
    """README.md: what was found when the study was made, and how to run it elsewhere."""
    if proposal.source.kind == "urls":
        data = f"`{LIST}` lists the addresses; the first run fetches them."
    else:
        data = (
            f"The pictures are not in git. `{proposal.source.path}` is a link to them; in a clone, make it first:\n\n"
            f"```bash\nln -s /where/the/pictures/are studies/{name}/{proposal.source.path}\n```\n\n"
            "If you commit the study, small copies of some pictures and all file names go into git."
        )
    return (
        f"# {name}\n\nMade by `make new`; it may be changed as you like.\n\n"
        f"```bash\nmake study STUDY={name}    # ends with studies/{name}/reports/index.html\n```\n\n"
        f"{data}\n\n## What was found\n\n" + "\n".join(map(_as_text, page)) + "\n"
    )


def _as_text(line: str) -> str:
    """A line of the page as Markdown; a label in it is text, whatever it holds."""
    bullet = "- " * line.startswith("- ")
    return bullet + code_in_markdown(line.removeprefix(bullet))


def write(
    folder: Path, proposal: Proposal, text: str, readme: str, images: Path, rows: Sequence[dict[str, str]]
) -> None:
    """Make the folder whole, or not at all.

    Args:
        folder: that of the study; it is not there yet.
        proposal: the study.
        text: params.yaml.
        readme: README.md.
        images: the folder or archive of pictures.
        rows: of a list of addresses.
    """
    partial = folder.parent / f".partial-{folder.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        files.write_text(partial / "params.yaml", text)
        files.write_text(partial / "README.md", readme)
        curation.write([], partial / curation.FILE)
        if rows:
            files.write_rows(partial / LIST, ["url", "label", "sha256"], rows)
        else:
            files.write_text(partial / ".gitignore", f"/{proposal.source.path}\n")
            (partial / proposal.source.path).symlink_to(_target(images, folder))
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _target(images: Path, folder: Path) -> Path:
    """Within the repository the link is relative, so that the repository can be moved."""
    root = folder.parents[1].resolve()
    if images.resolve().is_relative_to(root):
        return Path(os.path.relpath(images.resolve(), folder.parent.resolve() / folder.name))
    return images.absolute()
