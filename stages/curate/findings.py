"""The pictures of a study, and findings, read from the tables that clean, aggregate and the audit left."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import curation, files, intact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.clean.decode import Box
    from stages.core.curation import Decision

KINDS = {
    "conflict": "one picture under several labels",
    "suspect": "label that most networks or the audit contradict",
    "copies": "copies",
    "alike": "look-alikes",
    "near": "just not similar enough",
    "quarantined": "left out",
    "outlier": "unlike all others",
    "size": "unusual size",
    "decided": "decided by hand before",
}
MOST = 60  # pictures of one finding that are shown
ODD = 20  # pictures of unusual size
Row = dict[str, str]


@dataclass
class Picture:
    """A row of the ledger. name: what it is called in data/curation.csv. file, image: where its bytes may lie.

    copy_of: the image that was kept in its place.
    """

    number: int
    name: str
    sha256: str
    label: str
    status: str
    reason: str
    detail: str
    image_id: str
    copy_of: str = ""
    file: str = ""
    image: str = ""
    box: Box | None = None
    size: tuple[int, int] | None = None

    @property
    def mark(self) -> str:
        """A short digest of name and content: in another study the same number is another picture."""
        return hashlib.sha256(f"{self.name}\0{self.sha256}".encode("utf-8", "surrogateescape")).hexdigest()[:12]


@dataclass
class Finding:
    """Some pictures to look at together. said: why. hint: a label that may be the right one."""

    kind: str
    pictures: list[Picture]
    said: str
    hint: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        """Give it an id by its kind and pictures, which stays the same when clean runs again."""
        text = "\0".join([self.kind, *sorted(picture.name for picture in self.pictures)])
        self.id = hashlib.sha256(text.encode()).hexdigest()[:12]


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
        found = [*_groups(root, pictures), *suspects(root, pictures), *_near(root, pictures)]
        shown = {p.number for f in found if f.kind == "conflict" for p in f.pictures}
        out = [p for p in pictures if p.status == "quarantined" and p.sha256 and p.number not in shown]
        found += [Finding("quarantined", [p], f"{p.reason.replace('_', ' ')}: {p.detail}") for p in out]
        found += [*outliers(root, pictures), *odd_sizes(pictures)]
        found += _decided(pictures, found, decisions, not_applied)
        found.sort(key=lambda f: list(KINDS).index(f.kind))
        labels_of: dict[str, set[str]] = {}
        for p in pictures:
            labels_of.setdefault(p.name, set()).add(p.label)
        return cls(pictures, found, sorted({p.label for p in pictures if p.label}), labels_of, not_applied)


def rows(path: Path) -> list[Row]:
    """The rows of a table; none where it is not there."""
    return files.read_rows(path) if path.is_file() else []


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
    """Groups of reports/clean/groups.csv with copies, look-alikes or a conflict; not those of the source alone."""
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
    """Whether it is a copy, the picture that was kept of copies, or one with several labels."""
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
    """The decisions that clean did not apply in its last run, and why."""
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


def suspects(root: Path, pictures: list[Picture]) -> Iterator[Finding]:
    """Labels that most networks contradict, then those that only the audit of all images does.

    Left-out copies stand beside the picture: without it, one of them would be kept, with the same label.
    """
    known, copies = _by_image(pictures)
    told: dict[str, tuple[str, list[str]]] = {}
    for row, said in [*_contradicted(root), *_audited(root)]:
        image = row["image_id"]
        if image in known and row["label"] == known[image].label:
            told.setdefault(image, (row["predicted"], []))[1].append(said)
    for image, (hint, sentences) in told.items():
        yield _beside("suspect", known[image], copies.get(image, []), sentences, hint)


def outliers(root: Path, pictures: list[Picture]) -> Iterator[Finding]:
    """Pictures that the audit found unlike all others, with their left-out copies."""
    known, copies = _by_image(pictures)
    for row in rows(root / "reports/audit/outliers.csv"):
        if (image := row["image_id"]) in known:
            times = f"{float(row['distance'] or 0):.1f} times as far away as those of the middle picture"
            yield _beside("outlier", known[image], copies.get(image, []), [f"The pictures most like it are {times}."])


def _by_image(pictures: list[Picture]) -> tuple[dict[str, Picture], dict[str, list[Picture]]]:
    """Image -> the picture that is kept, and image -> those that were left out as copies of it."""
    copies: dict[str, list[Picture]] = {}
    for p in pictures:
        if p.copy_of:
            copies.setdefault(p.copy_of, []).append(p)
    return {p.image_id: p for p in pictures if p.image_id}, copies


def _beside(kind: str, one: Picture, copies: list[Picture], said: list[str], hint: str = "") -> Finding:
    more = f"Left-out copies: {len(copies)}. A decision holds for all of them, unless you mark some."
    return Finding(kind, [one, *copies], " ".join([*said, *([more] if copies else [])]), hint=hint)


def _contradicted(root: Path) -> Iterator[tuple[Row, str]]:
    for row in rows(root / "reports/suspects.csv"):
        sure = f"with a mean confidence of {float(row['confidence'] or 0):.0%}"
        yield row, f"{row['wrong']} of {row['cells']} networks say {row['predicted']}, {sure}."


def _audited(root: Path) -> Iterator[tuple[Row, str]]:
    for row in rows(root / "reports/audit/suspects.csv"):
        own, other = float(row["label_probability"] or 0), float(row["predicted_probability"] or 0)
        yield row, f"The audit of all images says {row['predicted']} ({other:.0%}; {row['label']} {own:.0%})."


def odd_sizes(pictures: list[Picture]) -> list[Finding]:
    """Kept pictures whose area or shape is far from the rest: more than 5 times the median distance from the median."""
    import numpy as np

    kept = [(p, p.size) for p in pictures if p.size]
    if len(kept) < 10:
        return []
    sides = np.log([size for _, size in kept])
    measures = np.stack([sides.sum(axis=1), sides[:, 0] - sides[:, 1]], axis=1)
    away = np.abs(measures - np.median(measures, axis=0))
    usual = np.maximum(np.median(away, axis=0), 0.1)  # a spread of 10 % is ordinary
    far = (away / usual).max(axis=1)
    order = [int(k) for k in np.argsort(-far, kind="stable")[:ODD] if far[k] > 5]
    middle = " x ".join(f"{value:.0f}" for value in np.exp(np.median(sides, axis=0)))
    return [
        Finding("size", [kept[k][0]], f"{kept[k][1][0]} x {kept[k][1][1]} px; the middle of all is {middle} px.")
        for k in order
    ]
