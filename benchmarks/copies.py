"""What cleaning finds of copies whose originals are known, what it takes for a copy that is none, and the cost.

    python -m benchmarks.copies [--seed 1] [--count 30] [--peers PYTHON]    copies of photographs, by kind
    python -m benchmarks.copies hard [--sets clocks cups] [--once]          pictures of which none may be dropped
    python -m benchmarks.copies cost --folder FOLDER [--peers PYTHON]       CPU seconds of the whole process

A seed draws photographs and changes; another seed is another test. `--peers` is the Python of an environment of its
own with imagededup==0.3.3.post2, cleanvision==0.3.7 and imagehash. `--set match.distance=4` changes the section `clean`
of params.yaml. `--keep FOLDER` leaves pictures and tables there to be looked at.

Seconds are those of one core, user and system together; only those of one run can be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import zlib
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ruamel.yaml import YAML
from scipy.cluster.hierarchy import DisjointSet

from benchmarks.made import hard, kinds, peers, stage
from benchmarks.made.photographs import SOURCES, Photograph, drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ORIGINAL = "original.jpg"


def main() -> None:
    """Run one benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="made", choices=["made", "hard", "cost"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="photographs of each source (30), pictures of a set (100), files")
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--kinds", nargs="+", default=list(kinds.KINDS), choices=list(kinds.KINDS), metavar="KIND")
    parser.add_argument("--modes", nargs="+", default=["alone", "together"], choices=["alone", "together"])
    parser.add_argument("--sets", nargs="+", default=list(hard.SETS), choices=list(hard.SETS), metavar="SET")
    parser.add_argument("--once", action="store_true", help="hard: without the second run, which adds copies")
    parser.add_argument(
        "--shared", type=Path, default=stage.CODE.parent / "shared/data", help="bananas, clothes, CIFAR"
    )
    parser.add_argument("--folder", type=Path, help="label folders")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--keep", type=Path, help="an empty folder for pictures and tables")
    arguments = parser.parse_args()
    if arguments.what == "cost" and arguments.folder is None:
        parser.error("cost needs --folder")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, for what is started from here too
    pairs = (text.partition("=") for text in arguments.settings)
    arguments.settings = {key: YAML(typ="safe").load(value) for key, _, value in pairs}
    {"made": made, "hard": look_alikes, "cost": cost}[arguments.what](arguments)


def made(arguments: argparse.Namespace) -> None:
    """Recall by kind of copy, of each pair alone in its folder and of all together; precision; seconds."""
    photographs = drawn(arguments.shared, arguments.sources, arguments.count or 30, arguments.seed)
    for source, shots in photographs.items():
        print(
            f"\n## {source}: {len(shots)} photographs, {len(arguments.kinds)} kinds of copies, seed {arguments.seed}\n"
        )
        pictures = copies(shots, arguments.kinds, arguments.seed)
        columns: dict[str, dict[str, float]] = {}
        if "alone" in arguments.modes:
            columns |= alone(pictures, arguments.settings)
        if "together" in arguments.modes:
            shows = {shot.name: shot.shows for shot in shots}
            with _folder(arguments.keep, source) as root:
                columns |= together(root, pictures, shows, arguments)
        _table("kind", columns)


def copies(shots: list[Photograph], names: list[str], seed: int) -> dict[str, bytes]:
    """`photograph/kind.jpg` of all photographs, originals and their copies."""
    pictures = {}
    for shot in shots:
        pictures[f"{shot.name}/{ORIGINAL}"] = content = kinds.encoded(shot.image, 95)
        for name in names:
            rng = np.random.default_rng([seed, zlib.crc32(f"{shot.name} {name}".encode())])
            suffix, copy = kinds.copied(name, content, rng)
            pictures[f"{shot.name}/{name}{suffix}"] = copy
    return pictures


def alone(pictures: Mapping[str, bytes], settings: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Recall by kind, and the share that is dropped, when an original and one copy are all that a folder holds."""
    kept: dict[str, list[bool]] = defaultdict(list)
    dropped: dict[str, list[bool]] = defaultdict(list)
    for path, content in pictures.items():
        photograph, name = path.split("/")
        if name == ORIGINAL:
            continue
        original = f"{photograph}/{ORIGINAL}"
        with tempfile.TemporaryDirectory() as root:
            stage.lay(Path(root), [(original, pictures[original], "one"), (path, content, "one")])
            found = stage.cleaned(Path(root), {"workers": 1} | dict(settings))
        kept[name].append(found.together(original, path))
        dropped[name].append(bool(found.dropped))
    return {"alone": _means(kept), "dropped": _means(dropped)}


def together(
    root: Path, pictures: Mapping[str, bytes], shows: Mapping[str, str], arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """All in one folder: the stage and its peers, as processes."""
    stage.lay(root, [(path, content, "one") for path, content in pictures.items()])
    seconds = stage.process(root, arguments.settings)
    done = stage.outcome(root)
    columns = {"together": recall(pictures, done.together)}
    _say("evenhand: same", done.same, {p: p.split("/")[0] for p in pictures}, seconds)
    _say("evenhand: similar", done.similar, {p: shows[p.split("/")[0]] for p in pictures}, seconds)
    wrong = [(a, b) for a, b in done.dropped.items() if a.split("/")[0] != b.split("/")[0]]
    homes = defaultdict(set)
    for path, home in done.homes.items():
        homes[home].add(shows[path.split("/")[0]])
    mixed = sum(len(shown) > 1 for shown in homes.values())
    print(f"evenhand: {len(done.dropped)} dropped, {len(wrong)} of them wrong; {mixed} groups hold strangers")
    print(f"evenhand: {dict(sorted(done.reasons.items()))}")
    for name, found in peers.asked(arguments.peers, root / "data/raw/files").items():
        direct, chained = set(found.pairs), DisjointSet(pictures)
        for a, b in found.pairs:
            chained.merge(a, b)
        columns[name] = recall(pictures, partial(_either, direct))
        columns[f"{name}, chained"] = recall(pictures, chained.connected)
        _say(name, found.pairs, {p: shows[p.split("/")[0]] for p in pictures}, found.seconds)
    return columns


def recall(pictures: Mapping[str, bytes], joined: Callable[[str, str], bool]) -> dict[str, float]:
    """Share of the copies of each kind that are joined with their original."""
    found: dict[str, list[bool]] = defaultdict(list)
    for path in pictures:
        photograph, name = path.split("/")
        if name != ORIGINAL:
            found[name].append(bool(joined(f"{photograph}/{ORIGINAL}", path)))
    return _means(found)


def _either(pairs: set[tuple[str, str]], a: str, b: str) -> bool:
    return (a, b) in pairs or (b, a) in pairs


def _say(name: str, pairs: list[tuple[str, str]], truth: Mapping[str, str], seconds: float) -> None:
    wrong = [(a, b) for a, b in pairs if truth[a] != truth[b]]
    share = f", precision {1 - len(wrong) / len(pairs):.3f}" if pairs else ""
    print(f"{name}: {len(pairs)} pairs, {len(wrong)} wrong{share}; {seconds:.1f} CPU s")
    for a, b in wrong[:5]:
        print(f"    {a} | {b}")


def look_alikes(arguments: argparse.Namespace) -> None:
    """Sets in which every picture stands for itself; then the same sets again with a copy of each, which is one."""
    columns = ("set", "pictures", "dropped", "conflicts", "lost otherwise", "same", "similar", "CPU s", "again: found",
               "together", "of another", "conflicts", "CPU s")  # fmt: skip
    width = max(map(len, hard.SETS))
    print("| " + " | ".join([columns[0].ljust(width), *columns[1:]]) + " |")
    print("| " + " | ".join(["-" * width, *("-" * len(c) for c in columns[1:])]) + " |")
    for name in arguments.sets:
        pictures = hard.SETS[name](arguments.count or 100, arguments.seed)
        try:
            row: list[int | str] = [*_row(name, pictures, arguments)]
        except RuntimeError as error:
            row = [f"the stage fails: {str(error).strip().splitlines()[-1]}"]
        cells = (str(value).ljust(len(column)) for value, column in zip(row, columns[1:], strict=False))
        print("| " + " | ".join([name.ljust(width), *cells]) + " |", flush=True)


def _row(name: str, pictures: list[hard.Picture], arguments: argparse.Namespace) -> list[int]:
    """What was done to the pictures; then how many of their copies were found, and what else was taken for one."""
    with _folder(arguments.keep, name) as root:
        stage.lay(root, [(p.path, p.content, p.label) for p in pictures])
        first = round(stage.process(root, arguments.settings))
        done = stage.outcome(root)
    lost = len(pictures) - len(done.homes) - len(done.conflicts)
    row = [len(pictures), len(done.dropped), len(done.conflicts), lost, len(done.same), len(done.similar), first]
    if arguments.once:
        return row
    with _folder(arguments.keep, f"{name} again") as root:
        stage.lay(root, [(p.path, p.content, p.label) for p in pictures + [hard.again(p) for p in pictures]])
        second = round(stage.process(root, arguments.settings))
        done = stage.outcome(root)
    own = {frozenset((p.path, hard.again(p).path)) for p in pictures}
    found = {frozenset(pair) for pair in done.dropped.items()}
    joined = sum(done.together(*pair) for pair in own)
    return [*row, len(own & found), joined, len(found - own), len(done.conflicts), second]


def cost(arguments: argparse.Namespace) -> None:
    """The stage and its peers as whole processes on one folder, without anything in a cache."""
    pictures = stage.files_of(arguments.folder)[: arguments.count]
    with _folder(arguments.keep, "cost") as root:
        stage.lay(root, pictures)
        print(f"{len(pictures)} files; load of the machine {os.getloadavg()[0]:.1f}")
        ours = stage.process(root, arguments.settings)
        done = stage.outcome(root)
        print(f"evenhand          {ours:8.1f} CPU s   {len(done.same)} same, {len(done.similar)} similar")
        for name, found in peers.asked(arguments.peers, root / "data/raw/files").items():
            print(f"{name:18s}{found.seconds:8.1f} CPU s   {len(found.pairs)} pairs; ours {ours / found.seconds:.2f} x")


@contextlib.contextmanager
def _folder(keep: Path | None, name: str) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory() as place:
            yield Path(place)
    else:
        (keep / name).mkdir(parents=True)
        yield keep / name


def _means(found: Mapping[str, list[bool]]) -> dict[str, float]:
    return {name.rpartition(".")[0]: float(np.mean(values)) for name, values in found.items()}


def _table(first: str, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Markdown."""
    rows = [[first, *columns], ["-" * len(name) for name in (first, *columns)]]
    rows += [[name, *(f"{column[name]:.2f}" for column in columns.values())] for name in next(iter(columns.values()))]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


if __name__ == "__main__":
    main()
