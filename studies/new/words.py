"""What `make new` says: a page of plain text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from stages.core import folders
from studies.new import networks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from studies.new.layout import Layout
    from studies.new.listing import Listing
    from studies.new.pictures import Looked
    from studies.new.proposal import Proposal

WIDTH = 100
_FEW = 12  # classes that are all named


def wrapped(lines: Iterable[str]) -> list[str]:
    """Paragraphs as lines of a terminal; a flag, a name or a pattern stays whole."""
    wrapper = textwrap.TextWrapper(WIDTH, break_on_hyphens=False, break_long_words=False)
    found = []
    for line in lines:
        wrapper.subsequent_indent = "  " * line.startswith("- ")
        found += wrapper.wrap(line) or [""]
    return found


def found(listing: Listing, layout: Layout, looked: Looked) -> list[str]:
    """What the folder holds."""
    counts = layout.counts
    lines = [f"- {len(listing.pictures):,} pictures, {len(counts)} classes. {layout.why}", f"- {classes(layout)}"]
    if looked.sizes:
        lines.append(f"- {_sizes(looked, len(listing.pictures))}")
    lines.append(f"- {_copies(listing, looked)}")
    left = [number(listing.others, "file that is no picture", "files that are no pictures")] * bool(listing.others)
    left += [number(listing.hidden, "hidden file", "hidden files")] * bool(listing.hidden)
    if left:
        lines.append(f"- Left out: {' and '.join(left)}.")
    return lines


def classes(layout: Layout) -> str:
    """The classes with their pictures; of many, the largest and smallest."""
    counts = list(layout.counts.items())
    if len(counts) <= _FEW:
        return "Classes: " + ", ".join(f"{label} {count:,}" for label, count in counts) + "."
    first, last = counts[:3], counts[-3:]
    return (
        f"Largest classes: {', '.join(f'{label} {count:,}' for label, count in first)}; smallest: "
        f"{', '.join(f'{label} {count:,}' for label, count in last)}."
    )


def _sizes(looked: Looked, pictures: int) -> str:
    sides = np.array(looked.sizes)
    width, height = np.median(sides, axis=0).astype(int)
    formats = ", ".join(f"{name} {count:,}" for name, count in looked.formats.most_common())
    of = "" if looked.opened == pictures else f" in a sample of {looked.opened:,}"
    low, high = sides.min(), sides.max()
    range_ = f" (sides of {low} to {high} px)" if low != high else ""
    odd = f" {looked.misnamed} have the ending of another format, which does no harm." if looked.misnamed else ""
    return f"Usual size {width} x {height} px{range_}; {formats}{of}.{odd}"


def _copies(listing: Listing, looked: Looked) -> str:
    if not looked.alike and looked.opened < len(listing.pictures):
        return f"No copies were seen among {looked.opened:,} pictures; the study will compare all, and more closely."
    if not looked.alike:
        return "No copies: no two files have the same bytes, and no two pictures the same hashes."
    same = sum(len(group) - 1 for group in looked.copies)
    of = "" if looked.opened == len(listing.pictures) else f" (in a sample of {looked.opened:,})"
    one = looked.alike[0]
    copies = number(looked.extra, "picture is a copy", "pictures are copies")
    return (
        f"About {copies} of another picture{of}: {same:,} with the same bytes, the others with nearly the same hashes. "
        f"An example is {one[0]!r} and {one[1]!r}. The study keeps the best copy of each, so that no picture is in "
        "both training and test. It compares more closely than this, and lists what it finds."
    )


def proposed(proposal: Proposal, variants: dict[str, str]) -> list[str]:
    """What will be done."""
    lines = [f"- {sentence}" for sentence in proposal.said]
    lines.append("- Networks: " + "; ".join(f"`{name}`, {what}" for name, what in variants.items()) + ".")
    if networks.audited(proposal.setting):
        lines.append(
            "- Labels: all pictures are audited for wrong labels, those of training too (`aggregate.audit`). The page "
            "shows what is found, and `make curate` lets you decide."
        )
    if not proposal.setting.pretrained and not proposal.setting.tiny:
        lines.append(
            "- The ImageNet weights are not on this machine, so all networks start from random weights. `make setup` "
            "installs the ImageNet weights; pretrained networks do far better on photographs."
        )
    return lines


def ending(name: str, time: str) -> list[str]:
    """How to run the study, and how long that will take; `time` is empty where it was not measured."""
    page = f"ends with studies/{name}/reports/index.html."
    return [
        f"Written: studies/{name} (params.yaml, README.md). Look at params.yaml, change what you like, then run",
        "",
        f"    make study STUDY={name}",
        "",
        f"It will take about {time} on this machine, and {page} You may interrupt it: the same command continues where "
        "it stopped."
        if time
        else f"It {page}",
    ]


def number(count: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many}"


def listed(items: Sequence[str], most: int = 5) -> str:
    """Some names of a list, in quotes."""
    return folders.listed(list(map(repr, items)), most)
