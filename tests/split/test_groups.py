"""Groups that only the user knows: none in two parts, sites that are held out whole, and what summary.json says."""

import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from stages.core import cells, files
from stages.core.errors import UserError
from tests.split.test_split import splits


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cleaned(named: list[str], copies: dict[int, int] | None = None, duplicates: str = "drop", prefix: str = "") -> None:
    """Write what `clean` leaves of pictures of the classes a and b in turn.

    Args:
        named: the user's group of each picture; empty: none.
        copies: number of a picture -> that of its copy. Copies and the pictures of a named group share a `group_id`.
        duplicates: as in `clean.duplicates`.
        prefix: the folder in the source above the labels.
    """
    top = list(range(len(named)))  # disjoint sets: the next picture on the way to the root of the set

    def root(i: int) -> int:
        return i if top[i] == i else root(top[i])

    first: dict[str, int] = {}
    for i, name in enumerate(named):
        if name:
            top[root(i)] = root(first.setdefault(name, i))
    for a, b in (copies or {}).items():
        top[root(a)] = root(b)
    ids = [f"{i:03}" for i in range(len(named))]
    labels = ["ab"[i % 2] for i in range(len(named))]
    rows = [
        {"image_id": i, "path": f"images/{label}/{i}", "label": label, "group_id": ids[root(int(i))]}
        for i, label in zip(ids, labels, strict=True)
    ]
    ledger = [
        {"path": f"{prefix}{label}/{i}.png", "label": label, "status": "kept", "image_id": i, "group": name}
        for i, label, name in zip(ids, labels, named, strict=True)
    ]
    files.write_rows("data/clean/manifest.csv", list(rows[0]), rows)
    files.write_rows("data/clean/ledger.csv", list(ledger[0]), ledger)
    files.write_json("data/clean/audit.json", {"duplicates": duplicates})


def parts_of_groups(named: list[str], found: dict[str, str]) -> dict[str, set[str]]:
    """Named group -> the parts that its pictures stand in; an empty text for a picture that is in no part."""
    parts = defaultdict(set)
    for i, name in enumerate(named):
        if name:
            parts[name].add(found.get(f"{i:03}", ""))
    return parts


@pytest.mark.parametrize("duplicates", ["drop", "group", "ignore"])
def test_no_group_stands_in_two_parts_and_the_summary_counts_them(duplicates: str) -> None:
    rng = random.Random(0)  # noqa: S311
    named = [f"clip{rng.randrange(30)}" if rng.random() < 0.8 else "" for _ in range(200)]
    cleaned(named, {3: 190, 50: 7}, duplicates)
    for seed, found in splits([0, 1], per_seed=True).items():
        parts = parts_of_groups(named, found)
        assert all(len(where) == 1 for where in parts.values())
        summary = files.read_json(cells.SPLIT / "summary.json")["splits"][seed]
        assert summary["named_groups"] == Counter(next(iter(where)) for where in parts.values())
        if duplicates != "ignore":
            assert found["003"] == found["190"]


def test_a_study_without_groups_says_nothing_of_them() -> None:
    cleaned([""] * 60)
    splits([0])
    summary = files.read_json(cells.SPLIT / "summary.json")
    assert set(summary) == {"seed", "groups", "splits"}
    assert set(summary["splits"][0]) == {"seeds", "counts", "left_out", "unused"}


def test_whole_sites_are_held_out() -> None:
    named = [f"site {i // 4 % 5}" for i in range(100)]
    cleaned(named)
    found = splits([0], test={"groups": ["site 1", "site 3"]}, val={"groups": ["site 0"]})[0]
    assert parts_of_groups(named, found) == {
        "site 0": {"val"}, "site 1": {"test"}, "site 2": {"train"}, "site 3": {"test"}, "site 4": {"train"},
    }  # fmt: skip
    drawn = splits([0, 1], test={"groups": ["site 1"]}, val=0.3, per_seed=True)
    assert all({i for i, part in parts.items() if part == "test"} == {f"{i:03}" for i in range(100) if i // 4 % 5 == 1}
               for parts in drawn.values())  # fmt: skip


def test_what_is_joined_with_a_site_by_copies_is_left_out_and_told() -> None:
    named = [f"site {i // 4 % 5}" for i in range(100)]
    cleaned(named, {0: 4})  # a picture of site 0 is a copy of one of site 1
    found = splits([0], test={"groups": ["site 1"]})[0]
    assert parts_of_groups(named, found)["site 0"] == {""}
    summary = files.read_json(cells.SPLIT / "summary.json")
    assert summary["splits"][0]["left_out"] == 20
    assert "Left out, since copies or look-alikes join them" in summary["notes"][0]
    assert "the groups site 0." in summary["notes"][0]


@pytest.mark.parametrize(
    ("named", "groups", "message"),
    [
        ("site", ["x"], "`split.test.groups` names 'x', but no kept image has such a group; the groups are site0"),
        ("", ["elsewhere"], "`ingest.group` says what the groups are"),
        ("site", [], "`split.test.groups` is []"),
    ],
)  # fmt: skip
def test_a_group_that_nothing_has_is_named(named: str, groups: list[str], message: str) -> None:
    cleaned([named and f"{named}{i % 3}" for i in range(60)])
    with pytest.raises(UserError) as error:
        splits([0], test={"groups": groups})
    assert message in str(error.value)


def test_parts_that_lie_unused_are_told_on_the_page() -> None:
    cleaned([""] * 60, prefix="train/")
    splits([0])
    (note,) = files.read_json(cells.SPLIT / "summary.json")["notes"]
    assert note.startswith("The folders `train` look like published parts")


def test_few_pictures_a_class_say_what_to_do() -> None:
    ids = [f"{i:03}" for i in range(30)]
    rows = [{"image_id": i, "path": f"images/{int(i) // 3}/{i}", "label": str(int(i) // 3), "group_id": i} for i in ids]
    files.write_rows("data/clean/manifest.csv", list(rows[0]), rows)
    ledger = [
        {"path": f"{row['label']}/{row['image_id']}", "status": "kept", "image_id": row["image_id"]} for row in rows
    ]
    files.write_rows("data/clean/ledger.csv", list(ledger[0]), ledger)
    files.write_json("data/clean/audit.json", {"duplicates": "drop"})
    with pytest.raises(
        UserError, match=r"too small for the split .images: 3, .*leave small classes out \(`ingest.min_images`\)"
    ):
        splits([0], test=0.1, val=0.1)
    assert Counter(splits([0], test=10, val=10)[0].values()) == {"train": 10, "val": 10, "test": 10}


def test_too_few_groups_say_how_to_give_them_up() -> None:
    named = [f"fold {i // 2 % 3}" for i in range(60)]
    cleaned(named, {0: 2})  # a copy joins two of the three
    with pytest.raises(UserError, match=r"groups that stay whole: 2.*remove `group` from `ingest` or .*"):
        splits([0])
    cleaned([""] * 60, {0: 2})
    assert set(splits([0])[0].values()) == {"train", "val", "test"}, "without them, the split is made"


@pytest.mark.parametrize("frames", [5, 7, 12])
def test_clips_that_are_larger_than_a_share_still_fill_every_part(frames: int) -> None:
    """Each held-out part takes one clip of each class, and two stay in train."""
    named = [f"{'ab'[i % 2]} clip {i // 2 // frames}" for i in range(2 * 4 * frames)]  # 4 clips of each class
    cleaned(named)
    drawn = splits([0, 1, 2, 3], per_seed=True, test=0.2, val=0.2)
    for found in drawn.values():
        parts = parts_of_groups(named, found)
        assert all(len(where) == 1 for where in parts.values())
        each = Counter((name[0], next(iter(where))) for name, where in parts.items())
        assert each == {
            (label, part): 2 if part == "train" else 1 for label in "ab" for part in ("train", "val", "test")
        }
    assert len({tuple(found.items()) for found in drawn.values()}) > 1
