"""What a person should look at: read from the tables that clean and aggregate left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import curation, files, intact
from stages.curate import doubts
from stages.curate.finding import KINDS, MOST, Finding, Picture, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.clean.decode import Box
    from stages.core.curation import Decision


@dataclass
class Study:
    """All pictures by their number, all findings, and the labels in use.

    labels_of: name -> its labels in the source. not_applied: decisions that `clean` did not apply, and why.
    """

    pictures: list[Picture]
    findings: list[Finding]
    labels: list[str]
    labels_of: dict[str, set[str]]
    not_applied: dict[Decision, str]

    @classmethod
    def read(cls, root: Path = Path()) -> Study:
        """The study in a folder.

        Raises:
            UserError: clean has not run there, or the file of decisions is damaged.
        """
        pictures = _pictures(root)
        decisions = curation.read(root / curation.FILE)
        not_applied = _not_applied(root, decisions)
        found = [*_groups(root, pictures), *doubts.suspects(root, pictures), *_near(root, pictures)]
        shown = {p.number for f in found if f.kind == "conflict" for p in f.pictures}
        out = [p for p in pictures if p.status == "quarantined" and p.sha256 and p.number not in shown]
        found += [Finding("quarantined", [p], f"{p.reason.replace('_', ' ')}: {p.detail}") for p in out]
        found += [*doubts.outliers(root, pictures), *doubts.odd_sizes(pictures)]
        found += _decided(pictures, found, decisions, not_applied)
        order = {kind: place for place, kind in enumerate(KINDS)}
        found.sort(key=lambda f: order[f.kind])
        labels_of: dict[str, set[str]] = {}
        for p in pictures:
            labels_of.setdefault(p.name, set()).add(p.label)
        return cls(pictures, found, sorted({p.label for p in pictures if p.label}), labels_of, not_applied)


def _pictures(root: Path) -> list[Picture]:
    """The rows of the ledger; a clone without data has no raw manifest, and so no boxes and no files."""
    raw = rows(root / "data/raw/manifest.csv")
    raw.sort(key=lambda r: (curation.natural(r["path"]), curation.natural(r["box"]), r["label"]))  # as clean sorts them
    kept = {row["image_id"]: row for row in rows(root / "data/clean/manifest.csv")}
    ledger = files.read_rows(root / "data/clean/ledger.csv")
    if [r["path"] for r in raw] != [r["path"] for r in ledger]:
        raw = []  # another data set was brought in since
    found = []
    for number, row in enumerate(ledger):
        origin, clean = raw[number] if raw else None, kept.get(row["image_id"])
        text = origin["box"] if origin else row["detail"].rpartition("box ")[2] if "box " in row["detail"] else ""
        box = _box(text)
        picture = Picture(
            number, curation.name(row["path"], box), row["sha256"], row["label"], row["status"], row["reason"],
            row["detail"], row["image_id"], row["duplicate_of"], box=box,
        )  # fmt: skip
        if origin and origin["file"]:
            picture.file = str(intact.inside(Path("data/raw/manifest.csv"), "files", origin["file"]))
        if clean:
            picture.image = str(intact.inside(Path("data/clean/manifest.csv"), "images", clean["path"]))
            picture.size = int(clean["width"]), int(clean["height"])
        found.append(picture)
    return found


def _box(text: str) -> Box | None:
    try:
        x1, y1, x2, y2 = (int(float(v)) for v in text.split())
    except ValueError:
        return None
    return x1, y1, x2, y2


def _groups(root: Path, pictures: list[Picture]) -> Iterator[Finding]:
    """Groups of reports/clean/groups.csv that hold copies, look-alikes or a conflict, not those of the source alone."""
    pairs = [row for row in rows(root / "reports/clean/pairs.csv") if row["verdict"] != "different"]
    paired = {row[side] for row in pairs for side in ("a", "b")}
    places: dict[tuple[str, ...], list[Picture]] = {}
    for picture in reversed(pictures):
        path = picture.name.rpartition("#xywh=")[0] if picture.box else picture.name
        places.setdefault((path, picture.label, picture.status, picture.image_id), []).append(picture)
    groups: dict[str, list[tuple[str, Picture]]] = {}
    copied: set[str] = set()
    for row in rows(root / "reports/clean/groups.csv"):
        key = row["path"], row["label"], row["status"], row["image_id"]
        if places.get(key):
            copied.add(row["duplicate_of"])
            groups.setdefault(row["group"], []).append((row["path"], places[key].pop()))
    for members in groups.values():
        bytes_ = Counter(p.sha256 for _, p in members)
        linked = [p for path, p in members if path in paired or _copied(p, copied) or bytes_[p.sha256] > 1]
        if len(linked) < 2:
            continue
        inside = {id(p) for p in linked}
        every = linked + [p for _, p in members if id(p) not in inside]
        if any(p.reason == "label_conflict" for p in linked):
            labels = ", ".join(sorted({p.label for p in every}))
            yield Finding("conflict", every, f"The same picture is under {labels}.")
        elif copies := sum(p.status == "duplicate" for p in every):
            yield Finding("copies", every, f"{copies} of {len(every)} are left out as copies.")
        else:
            yield Finding("alike", every, f"{len(every)} pictures are kept together in one part of the split.")


def _copied(one: Picture, copied: set[str]) -> bool:
    """Whether it is a copy, the picture that stays of copies, or one with several labels."""
    return (
        one.status == "duplicate" or one.reason == "label_conflict" or (one.image_id != "" and one.image_id in copied)
    )


def _near(root: Path, pictures: list[Picture]) -> Iterator[Finding]:
    """Pairs that missed a threshold; pictures in boxes are left out, since the table names files alone."""
    named = {p.name: p for p in pictures if p.status == "kept" and not p.box}
    for row in rows(root / "reports/clean/pairs.csv"):
        if row["verdict"] == "different" and row["a"] in named and row["b"] in named:
            yield Finding("near", [named[row["a"]], named[row["b"]]], "Not similar enough to be kept together.")


def _not_applied(root: Path, decisions: list[Decision]) -> dict[Decision, str]:
    """What clean said of decisions when it ran last."""
    audit = root / "data/clean/audit.json"
    told = files.read_json(audit).get("by_hand", {}).get("not_applied", []) if audit.is_file() else []
    why = {tuple(row[:-1]): row[-1] for row in told}
    return {d: why[*d.subject, d.decision] for d in decisions if (*d.subject, d.decision) in why}


def _decided(
    pictures: list[Picture], findings: list[Finding], decisions: list[Decision], not_applied: dict[Decision, str]
) -> list[Finding]:
    """Decisions on pictures that no finding shows, so that they can be seen and taken back.

    A picture whose file is gone gets a number behind the others.
    """
    shown = {p.name for f in findings for p in f.pictures[:MOST]}
    known = {p.name: p for p in reversed(pictures)}
    found = []
    for one in decisions:
        if shown & set(one.subject):
            continue
        for name, digest in zip(one.subject, one.sha256.split(" "), strict=True):
            if name not in known:
                known[name] = Picture(len(pictures), name, digest, "", "gone", "", "the file is not in the data", "")
                pictures.append(known[name])
        said = f"Not applied: {not_applied[one]}." if one in not_applied else "Nothing else was found about it."
        found.append(Finding("decided", [known[name] for name in one.subject], said))
    return found
