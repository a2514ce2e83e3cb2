import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core import cells, files
from stages.core.errors import UserError
from stages.core.params import SECTIONS, section
from stages.split import Images, assign
from stages.split import __main__ as stage
from stages.split.params import Split


def params(**more: object) -> Split:
    """The section `split`, a fifth of the images for validation and a fifth for test unless told otherwise."""
    return section(Split, {"seed": 0, "val": 0.2, "test": 0.2, **more}, "split")


def test_shares_are_exact_and_stratified() -> None:
    labels = ["a"] * 100 + ["b"] * 50
    parts = assign(Images(labels, [str(i) for i in range(150)]), params())
    assert Counter(zip(labels, parts, strict=True)) == {
        ("a", "train"): 60, ("a", "val"): 20, ("a", "test"): 20,
        ("b", "train"): 30, ("b", "val"): 10, ("b", "test"): 10,
    }  # fmt: skip


def test_counts_are_exact() -> None:
    parts = assign(Images(["a", "b"] * 50, [str(i) for i in range(100)]), params(val=11, test=20))
    assert Counter(parts) == {"train": 69, "val": 11, "test": 20}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), min_size=60, max_size=150), st.integers(0, 5))
def test_no_group_is_in_two_parts(images: list[tuple[str, int]], seed: int) -> None:
    labels, groups = [label for label, _ in images], [str(group) for _, group in images]
    try:
        parts = assign(Images(labels, groups), params(seed=seed))
    except UserError:
        return  # too few groups for three parts; the messages are tested below
    seen = set(zip(groups, parts, strict=True))
    assert len(seen) == len(set(groups))
    largest = max(Counter(groups).values())  # where every group of a class is larger than its share, one is taken
    assert parts.count("test") <= round(0.2 * len(labels)) + 2 * largest


def test_ungrouped_lets_a_group_leak() -> None:
    labels, groups = ["a", "b"] * 50, ["same"] * 100
    with pytest.raises(UserError, match="groups that stay whole: 1"):
        assign(Images(labels, groups), params())
    assert set(assign(Images(labels, groups), params(grouped=False))) == {"train", "val", "test"}


def test_the_split_has_its_own_seed() -> None:
    labels, groups = ["a", "b"] * 50, [str(i) for i in range(100)]
    assert assign(Images(labels, groups), params()) == assign(Images(labels, groups), params())
    assert assign(Images(labels, groups), params(seed=1)) != assign(Images(labels, groups), params())


def test_one_class_only_is_answered_with_the_level_of_folders_that_gives_more() -> None:
    ids = [str(i) for i in range(30)]
    paths = [f"all/{'cat' if i % 2 else 'dog'}/{i}.jpg" for i in range(30)]
    with pytest.raises(
        UserError,
        match=r"nothing to tell apart; .*`ingest.label: 2` gives 2 labels: `cat`, `dog`$",
    ):
        assign(Images(["all"] * 30, ids, paths), params())
    with pytest.raises(UserError, match=r"nothing to tell apart; is `ingest\.label` right"):
        assign(Images(["all"] * 30, ids, [f"https://example.org/{i}/x.jpg" for i in range(30)]), params())


@pytest.mark.parametrize(
    ("labels", "more", "message"),
    [
        (["a"] * 30, {}, "there is one class only"),
        ([], {}, "no image was kept"),
        (
            ["a"] * 30 + ["b"],
            {},
            "the class `b` is too small for the split (images: 1, groups that stay whole: 1)",
        ),
        (["a", "b"] * 10, {"val": 10, "test": 10}, "leave none for train"),
        (["a", "b"] * 10, {"val": 0.5, "test": 30}, "leave none for train"),
    ],
)
def test_what_cannot_be_split_is_named(labels: list[str], more: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        assign(Images(labels, [str(i) for i in range(len(labels))]), params(**more))
    assert message in str(error.value)


@pytest.mark.parametrize("wrong", [{"val": 1.5}, {"val": 0}, {"seed": -1}, {"test": "0.2"}])
def test_wrong_shares_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        params(**wrong)


def test_a_published_test_set_stays_whole_and_its_copies_leave_train() -> None:
    labels = ["a", "b"] * 50
    groups = [str(i) for i in range(98)] + ["0", "99"]  # the last but one is a copy of the first
    paths = [f"{'train' if i < 80 else 'test'}/{label}/{i}.png" for i, label in enumerate(labels)]
    published = params(test={"folder": "test"}, val=10)
    parts = assign(Images(labels, groups, paths), published)
    assert parts[80:] == ["test"] * 20
    assert parts[0] == "left_out"
    assert Counter(parts[1:80]) == {"train": 69, "val": 10}
    leaky = assign(Images(labels, groups, paths), params(test={"folder": "test"}, val=10, grouped=False))
    assert Counter(leaky) == {"train": 70, "val": 10, "test": 20}
    with pytest.raises(UserError, match="no kept image came from a folder of that name"):
        assign(Images(labels, groups, paths), params(test={"folder": "tset"}))


@pytest.mark.parametrize("train", [30, 0.3])
def test_a_smaller_training_set_leaves_validation_and_test_as_they_are(train: float) -> None:
    labels = ["a"] * 60 + ["b"] * 40
    groups = [str(i // 3) for i in range(100)]  # of three
    whole = assign(Images(labels, groups), params())
    some = assign(Images(labels, groups), params(train=train))
    assert {(a, b) for a, b in zip(whole, some, strict=True) if a != b} == {("train", "unused")}
    assert 27 <= some.count("train") <= 30
    seen = {group: {part for g, part in zip(groups, some, strict=True) if g == group} for group in groups}
    assert all(len(parts) == 1 for parts in seen.values())
    single = assign(Images(labels, [str(i) for i in range(100)]), params(train=train))
    inside = Counter(label for label, part in zip(labels, single, strict=True) if part == "train")
    assert inside == {"a": 18, "b": 12}


def test_a_training_set_larger_than_what_is_left_is_refused() -> None:
    with pytest.raises(UserError, match=r"`split.train` = 80 asks for 80 images, but 60 of 100 are left"):
        assign(Images(["a", "b"] * 50, [str(i) for i in range(100)]), params(train=80))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What clean left: two classes of 30 images, ten of them in a published test set."""
    monkeypatch.chdir(tmp_path)
    rows = [(f"{i:02}", "ab"[i % 2], f"{'test' if i < 10 else 'rest'}/{i}.png") for i in range(60)]
    manifest = [{"image_id": i, "path": f"images/{label}/{i}", "label": label, "group_id": i} for i, label, _ in rows]
    ledger = [{"path": path, "status": "kept", "image_id": i} for i, _, path in rows]
    files.write_rows("data/clean/manifest.csv", list(manifest[0]), manifest)
    files.write_rows("data/clean/ledger.csv", list(ledger[0]), ledger)
    files.write_json("data/clean/audit.json", {"duplicates": "drop"})


def splits(seeds: list[int], **split: object) -> dict[int, dict[str, str]]:
    """Run the stage in the working folder; seed -> image -> part, as the files of the splits have it."""
    sections: dict[str, object] = {key: {} for key in SECTIONS} | {
        "split": {"seed": 0, "val": 0.2, "test": 0.2, **split}
    }
    files.write_json("params.yaml", {"study": "x", "lr": 1, "seeds": seeds, "variants": {"v": {}}, **sections})
    stage.main()
    names = {path.stem for path in (cells.SPLIT / "seeds").iterdir()}
    assert names == {str(seed) for seed in seeds}
    return {seed: {r["image_id"]: r["split"] for r in files.read_rows(cells.split_file(seed))} for seed in seeds}


@pytest.mark.usefixtures("kept")
def test_seeds_share_the_split_unless_told_otherwise() -> None:
    found = splits([0, 1, 7])
    assert found[0] == found[1] == found[7]
    (summary,) = files.read_json(cells.SPLIT / "summary.json")["splits"]
    assert summary["seeds"] == [0, 1, 7]
    assert {part: sum(counts.values()) for part, counts in summary["counts"].items()} == {
        "train": 36, "val": 12, "test": 12,
    }  # fmt: skip
    assert files.read_json(cells.SPLIT / "classes.json", list[str]) == ["a", "b"]


@pytest.mark.usefixtures("kept")
def test_per_seed_a_further_seed_changes_no_other_split() -> None:
    two = splits([0, 1], per_seed=True)
    assert two[0] != two[1]
    before = [cells.split_file(seed).read_bytes() for seed in (0, 1)]
    assert splits([0, 1, 2], per_seed=True)[2] not in two.values()
    assert before == [cells.split_file(seed).read_bytes() for seed in (0, 1)]
    assert splits([1], per_seed=True)[1] == two[1]


@pytest.mark.usefixtures("kept")
def test_seeds_per_split() -> None:
    four = splits([3, 1, 0, 2], per_seed=True, seeds_per_split=2)
    assert four[3] == four[1] != four[0] == four[2]
    assert [split["seeds"] for split in files.read_json(cells.SPLIT / "summary.json")["splits"]] == [[3, 1], [0, 2]]
    assert splits([3, 1], per_seed=True, seeds_per_split=2)[3] == four[3]


@pytest.mark.usefixtures("kept")
def test_a_published_part_stays_and_the_rest_is_split_again() -> None:
    found = splits([0, 1], per_seed=True, test={"folder": "test"})
    tests = [{image for image, part in found[seed].items() if part == "test"} for seed in (0, 1)]
    assert tests[0] == tests[1] == {f"{i:02}" for i in range(10)}
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("seeds", "split", "message"),
    [
        ([0, 1], {"seeds_per_split": 2}, "`split.seeds_per_split: 2` has no effect without `split.per_seed: true`"),
        ([0, 1, 2], {"per_seed": True, "seeds_per_split": 2}, "`seeds` has 3: add 1 or remove 1"),
        (
            [0, 1],
            {"per_seed": True, "val": {"folder": "a"}, "test": {"folder": "b"}},
            "`split.per_seed: true` has no effect: validation and test are fixed",
        ),
        ([0], {"val": {"folder": "a"}, "test": {"folder": "a/"}}, "the folder of `split.val`, a, is that of"),
        ([0], {"val": {"folder": "a/b"}, "test": {"folder": "a"}}, "the folder of `split.val`, a/b, is that of"),
        (
            [0],
            {"val": {"groups": ["x", "y"]}, "test": {"groups": ["z", "y"]}},
            "the group 'y' stands in `split.test.groups` and in `split.val.groups`",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(seeds: list[int], split: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        params(**split).plan(seeds)


def test_folders_and_groups_beside_each_other_are_no_overlap() -> None:
    for val, test in [({"folder": "ab"}, {"folder": "a"}), ({"folder": "a"}, {"folder": "a/b"})]:
        params(val=val, test=test).check(1)
    params(val={"groups": ["x"]}, test={"groups": ["y"]}).check(1)
    params(val={"groups": ["x"]}, test={"folder": "x"}).check(1)


def test_a_plan_says_what_each_split_is_drawn_from() -> None:
    shared = params().plan([3, 1, 0, 2])
    assert [(one.seeds, list(one.draw), one.fold) for one in shared] == [([3, 1, 0, 2], [], None)]
    pairs = params(per_seed=True, seeds_per_split=2).plan([3, 1, 0, 2])
    assert [tuple(one) for one in pairs] == [([3, 1], [3], None), ([0, 2], [0], None)]
    folds = params(folds=2, test=None, seeds_per_split=2).plan([7, 6, 5, 4, 3, 2, 1, 0])
    assert [tuple(one) for one in folds] == [([7, 6], [7], 0), ([5, 4], [7], 1), ([3, 2], [3], 0), ([1, 0], [3], 1)]


@pytest.mark.usefixtures("kept")
def test_folds_test_every_image_once_and_keep_groups_whole() -> None:
    manifest = files.read_rows("data/clean/manifest.csv")
    pairs = [row | {"group_id": str(int(row["image_id"]) // 4)} for row in manifest]
    files.write_rows("data/clean/manifest.csv", list(pairs[0]), pairs)
    found = splits(list(range(6)), folds=3, test=None)
    group = {row["image_id"]: row["group_id"] for row in pairs}
    tests = [{image for image, part in found[seed].items() if part == "test"} for seed in range(6)]
    for first in (0, 3):  # three splits divide all images, and the next three divide them anew
        assert sorted(image for test in tests[first : first + 3] for image in test) == sorted(group)
    assert tests[:3] != tests[3:]
    for parts in found.values():
        where = {(group[image], part) for image, part in parts.items()}
        assert len(where) == len({name for name, _ in where})
        assert {part for _, part in where} == {"train", "val", "test"}
    assert splits(list(range(3)), folds=3, test=None) == {seed: found[seed] for seed in range(3)}


@pytest.mark.parametrize(
    ("seeds", "split", "message"),
    [
        ([0, 1], {"folds": 3, "test": None}, "`split.folds: 3` needs 3 seeds or a multiple"),
        ([0, 1, 2], {"folds": 3}, "`split.test` has no effect with `split.folds`"),
        ([0], {"test": None}, "`split.test` is missing"),
    ],
)
@pytest.mark.usefixtures("kept")
def test_folds_that_cannot_be_are_refused(seeds: list[int], split: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        splits(seeds, **split)


@pytest.mark.usefixtures("kept")
def test_as_published_the_groups_are_known_and_not_kept_together() -> None:
    manifest = [row | {"group_id": "one"} for row in files.read_rows("data/clean/manifest.csv")]
    files.write_rows("data/clean/manifest.csv", list(manifest[0]), manifest)
    files.write_json("data/clean/audit.json", {"duplicates": "ignore"})
    assert set(splits([0])[0].values()) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("train", r"the class `c` has no image in test \(train [1-9], val [1-9], test 0\), and `split.test` names"),
        ("test", r"the class `c` has no image in train and val \(train 0, val 0, test 12\), and `split.test` names"),
    ],
)
def test_a_class_that_a_published_part_lacks_says_what_can_be_done(other: str, said: str) -> None:
    labels = ["a", "b", "c"] * 12
    folders = [other if label == "c" else ("train", "test")[i % 2] for i, label in enumerate(labels)]
    paths = [f"{folder}/{i}.png" for i, folder in enumerate(folders)]
    with pytest.raises(UserError, match=said) as caught:
        assign(Images(labels, [str(i) for i in range(36)], paths), params(val=9, test={"folder": "test"}))
    assert "raise the share" not in str(caught.value)
    assert "folder='test'" not in str(caught.value)
