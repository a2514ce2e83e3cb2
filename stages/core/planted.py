"""The flaws that the source `digits` adds with `planted: true`, as a collection from the web has them.

The list follows from the labels alone, so that the page can say how much of it was found. data/planted.csv shows it
to readers (`python -m stages.core.planted` writes it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stages.core import errors, files
from stages.core.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED = 0
KINDS = {  # how many of each
    "recompressed": 90,  # a second file of the picture: JPEG of a lower quality, another name
    "renamed": 30,  # the same bytes under another name
    "turned": 40,  # a copy that is turned by a quarter
    "two_labels": 12,  # a JPEG copy in the folder of another label
    "cut_short": 12,  # a download that broke off, beside the whole file
    "wrong_label": 12,  # the only file of the picture, in the folder of another label
    "stray": 1,  # a file of a file manager
}
STRAY = "Thumbs.db"


class Planted(NamedTuple):
    """One planted file.

    Attributes:
        path: below the source.
        kind: one of KINDS.
        original: the file that it is a copy of; empty where it is no copy.
        label: what the picture shows; empty where it is no picture.
    """

    path: str
    kind: str
    original: str
    label: str


class Plan(NamedTuple):
    """The path of each digit, and the planted files."""

    originals: list[str]
    planted: list[Planted]


def plan(labels: Sequence[str]) -> Plan:
    """Draw the files of a scrape; no digit has more than one thing done to it.

    Args:
        labels: of all digits, in their order.
    """
    rng = generator(SEED, "planted")
    jpeg = rng.random(len(labels)) < 0.5
    order = iter(rng.permutation(len(labels)).tolist())
    numbers = iter(rng.permutation(10_000).tolist())
    names = [f"digit_{index:04d}.{'jpg' if jpeg[index] else 'png'}" for index in range(len(labels))]
    originals = [f"{label}/{name}" for label, name in zip(labels, names, strict=True)]
    classes, found = sorted(set(labels)), []
    for kind, count in KINDS.items():
        for _ in range(count if kind != "stray" else 0):
            index = next(order)
            label, original = labels[index], originals[index]
            other = rng.choice([one for one in classes if one != label])
            if kind == "wrong_label":
                originals[index] = f"{other}/{names[index]}"
                found.append(Planted(originals[index], kind, "", label))
                continue
            suffix = original[-4:] if kind in ("renamed", "cut_short") else ".jpg"
            folder = other if kind == "two_labels" else label
            found.append(Planted(f"{folder}/IMG_{next(numbers):04d}{suffix}", kind, original, label))
    return Plan(originals, [*found, Planted(STRAY, "stray", "", "")])


def of_the_digits() -> list[Planted]:
    """The planted files among scikit-learn's digits."""
    from sklearn.datasets import load_digits

    return plan([str(label) for label in load_digits(return_X_y=True)[1]]).planted


def main() -> None:
    """Write data/planted.csv."""
    files.write_rows("data/planted.csv", Planted._fields, [row._asdict() for row in of_the_digits()])


if __name__ == "__main__":
    errors.run(main)
