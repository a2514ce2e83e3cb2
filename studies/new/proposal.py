"""From what was found to what is proposed: plain decisions, each with the sentence that says it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stages.core.errors import UserError
from studies.new import networks
from studies.new.refusals import LEAST
from studies.new.words import listed, number

if TYPE_CHECKING:
    from studies.new.groups import Groups
    from studies.new.layout import Layout
    from studies.new.listing import Listing
    from studies.new.names import Parts
    from studies.new.networks import Setting
    from studies.new.pictures import Looked

ENOUGH = 6  # pictures of a class, so that a fifth of them is one at least
RARE = 3  # times fewer than the most frequent class: accuracy counts each class the same from there on
ADDRESSES = "addresses"  # the rule of a layout whose pictures are not here yet


@dataclass(frozen=True)
class Source:
    """Where the pictures are: the kind of source, and what the study's folder calls it."""

    kind: str  # folder | archive | urls
    path: str


@dataclass(frozen=True)
class Proposal:
    """A study, before it is written.

    Attributes:
        source: where the pictures are.
        ingest: the keys of the section `ingest`, besides source and path.
        split: the keys of the section `split`.
        seeds: how many.
        counts: label -> pictures, of the classes that stay.
        balanced: whether classes count the same, however rare they are.
        setting: what decided about the networks.
        tested: pictures in the test part of a split, about.
        trained: the same of the training part.
        said: sentences for the user, each about one decision.
    """

    source: Source
    ingest: dict[str, Any]
    split: dict[str, Any]
    seeds: int
    counts: Counter[str]
    balanced: bool
    setting: Setting
    tested: int
    trained: int
    said: list[str] = field(default_factory=list)

    @property
    def per_seed(self) -> bool:
        """Whether each seed has a split of its own."""
        return bool(self.split.get("per_seed"))


def propose(
    listing: Listing, groups: Groups, parts: Parts | None, looked: Looked, options: Any, gpu: tuple[bool, bool, int]
) -> Proposal:
    """What to compare, on which split, over how many seeds.

    Args:
        listing: the names.
        groups: where the labels stand, and what is kept together.
        parts: the published ones.
        looked: what the pictures are.
        options: what the user chose: `split` (published, new or None), `seeds`.
        gpu: whether there is a GPU, whether the weights of ImageNet are here, and the cores of this machine.
    """
    said: list[str] = []
    layout = groups.layout
    ingest: dict[str, Any] = {"label": layout.rule, **layout.keys}
    doubles = _extra_per_label(layout, looked)
    counts = Counter({label: count - doubles[label] for label, count in layout.counts.items()})
    counts = _small_classes(layout, counts, ingest, said)
    if groups.pattern:
        ingest["group"] = {"pattern": groups.pattern}
    said += groups.said()
    images = counts.total()
    split, tested, trained = _split(groups, counts, parts, options, said)
    fixed = isinstance(split["val"], dict) and isinstance(split["test"], dict)
    seeds = options.seeds or networks.seeds(images, fixed=fixed)
    if not fixed and seeds > 1 and images < networks.FEW:
        split["per_seed"] = True
    _seeds_said(split, seeds, said)
    rarest, most = min(counts.values()), max(counts.values())
    balanced = most > RARE * rarest
    if balanced:
        said.append(
            f"The largest class has {most / max(rarest, 1):.0f} times as many pictures as the smallest. So all classes "
            "weigh the same in training, and networks are compared by balanced accuracy (the mean over the classes)."
        )
    setting = networks.Setting(images, looked.side or 224, gpu[1], gpu[0], min(gpu[2], 2))
    kind = "archive" if listing.is_archive else "folder"
    return Proposal(
        Source(kind, "source"), ingest, split, seeds, counts, balanced, setting, tested, trained, said
    )  # fmt: skip


def _extra_per_label(layout: Layout, looked: Looked) -> Counter[str]:
    """How many copies of each label will be dropped, about."""
    share = len(layout.labels) / max(looked.opened, 1) if looked.opened < len(layout.labels) else 1.0
    found: Counter[str] = Counter()
    for group in looked.alike:
        labelled = [label for path in group if (label := layout.labels.get(path))]
        found.update(labelled[1:])
    return Counter({label: min(round(n * share), layout.counts[label] - 1) for label, n in found.items()})


def _small_classes(layout: Layout, counts: Counter[str], ingest: dict[str, Any], said: list[str]) -> Counter[str]:
    """Leave out what cannot stand in every part of a split."""
    small = [label for label, count in counts.items() if count < ENOUGH]
    if not small:
        return counts
    large = Counter({label: count for label, count in counts.items() if count >= ENOUGH})
    if len(large) < 2:
        kept = Counter({label: count for label, count in counts.items() if count >= LEAST})
        if len(kept) < 2:
            raise UserError(
                f"without copies {number(len(counts) - len(kept), 'class has', 'classes have')} fewer than {LEAST} "
                f"pictures, for example {listed([label for label in counts if label not in kept])}, and training, "
                "validation and test need one each; add other pictures of them"
            )
        if len(kept) < len(counts):
            ingest["min_images"] = LEAST
            said.append(_left_out(layout, [label for label in counts if label not in kept], LEAST))
        said.append(
            f"The classes have {min(kept.values())} to {max(kept.values())} pictures without copies. That is too few "
            "to learn from, and the figures will say little: gather 30 of each class, better 100."
        )
        return kept
    ingest["min_images"] = ENOUGH
    said.append(_left_out(layout, small, ENOUGH))
    return large


def _left_out(layout: Layout, small: list[str], least: int) -> str:
    single = [label for label in small if layout.counts[label] == 1]
    alone = f", {len(single)} of them with a single picture" if single and len(single) < len(small) else ""
    alone = ", each with a single picture" if single and len(single) == len(small) else alone
    said = (
        f"{number(len(small), 'class has', 'classes have')} fewer than {least} pictures without copies{alone}: "
        f"{listed(small)}. {'It is' if len(small) == 1 else 'They are'} left out"
    )
    if layout.rule == ADDRESSES:
        return f"{said}; add addresses to the list to have {'it' if len(small) == 1 else 'them'}."
    return f"{said} (`ingest.min_images`); add pictures, or set `ingest.small_classes: merge` to make them one class."


def _split(
    groups: Groups, counts: Counter[str], parts: Parts | None, options: Any, said: list[str]
) -> tuple[dict[str, Any], int, int]:
    layout, images = groups.layout, counts.total()
    small = min(counts.values()) < ENOUGH
    drawn: Any = len(counts) if small else 0.2
    held = drawn if small else round(0.2 * images)
    split: dict[str, Any] = {"seed": 0, "val": drawn, "test": drawn}
    tested, trained = held, images - 2 * held
    if parts is None and options.split == "published":
        raise UserError(
            "--split is published, but neither folders (train, test) nor a column of a table divide the pictures into "
            "training and another part; leave the flag out"
        )
    if parts is None or options.split == "new":
        return split, tested, trained
    sizes = Counter(parts.of(path) for path, label in layout.labels.items() if label in counts)
    crossing = groups.crossing(parts)
    why = _unusable(layout, counts, parts)
    if not why and crossing > 0.5 * sizes["train"]:
        why = f"{crossing} of {sizes['train']} training pictures belong to groups that stand in another part too"
    if why and options.split == "published":
        raise UserError(f"--split is published, but the parts cannot be used, since {why}; leave the flag out")
    if why:
        said.append(f"The parts that the folder is divided into are not used, since {why}. A new split is drawn.")
        return split, tested, trained
    test = "test" if "test" in parts.folders else "val"
    split["test"] = {"folder": parts.folders[test][0]}
    if test == "test" and "val" in parts.folders:
        split["val"] = {"folder": parts.folders["val"][0]}
        trained = sizes["train"]
    else:
        split["val"] = held = len(counts) if small else max(len(counts), round(0.2 * sizes["train"]))
        trained = sizes["train"] - held
    held_out = [part for part in sizes if part and part != "train"]
    folders = ", ".join(f"{' and '.join(parts.folders[part])} ({sizes[part]})" for part in ("train", *sorted(held_out)))
    note = "" if "test" in parts.folders else f" There is no test part, so {parts.folders['val'][0]} is the test part."
    drawn_note = "" if test == "test" and "val" in parts.folders else " Validation pictures are drawn from training."
    said.append(
        f"The folder is divided already: {folders}. These parts stay as they are, so that results can be compared with "
        f"published results.{note}{drawn_note} `--split new` draws new parts."
    )
    if crossing:
        they = number(crossing, "training picture belongs", "training pictures belong")
        said.append(f"{they} to groups that stand in another part too, and will be left out.")
    return split, sizes[test], trained


def _unusable(layout: Layout, counts: Counter[str], parts: Parts) -> str:
    """Why published parts cannot be taken; an empty text where they can."""
    if parts.below_labels:
        return "each label has parts of its own"
    if not parts.usable:
        return "a part lies in several folders"
    present: defaultdict[str, set[str]] = defaultdict(set)
    for path, label in layout.labels.items():
        if label in counts:
            present[parts.of(path)].add(label)
    for part in parts.folders:
        lacking = sorted(set(counts) - present[part])
        if not present[part]:
            return f"nothing in {parts.folders[part][0]!r} has a label"
        if lacking:
            return f"{parts.folders[part][0]!r} has no picture of {listed(lacking)}"
    return ""


def _seeds_said(split: dict[str, Any], seeds: int, said: list[str]) -> None:
    own = " and another split, since with few pictures the result depends on the split" if split.get("per_seed") else ""
    if seeds == 1:
        said.append("Each network is trained once. One seed cannot show which network is better.")
    else:
        said.append(f"Each network is trained {seeds} times, each time with another seed{own}.")
