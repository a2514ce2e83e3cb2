from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.errors import UserError
from stages.core.params import section
from stages.split import assign
from stages.split.params import Split


def params(**more: object) -> Split:
    return section(Split, {"seed": 0, "val": 0.2, "test": 0.2, **more}, "split")


def test_shares_are_exact_and_stratified() -> None:
    labels = ["a"] * 100 + ["b"] * 50
    parts = assign(labels, [str(i) for i in range(150)], params())
    assert Counter(zip(labels, parts, strict=True)) == {
        ("a", "train"): 60, ("a", "val"): 20, ("a", "test"): 20,
        ("b", "train"): 30, ("b", "val"): 10, ("b", "test"): 10,
    }  # fmt: skip


def test_counts_are_exact() -> None:
    parts = assign(["a", "b"] * 50, [str(i) for i in range(100)], params(val=11, test=20))
    assert Counter(parts) == {"train": 69, "val": 11, "test": 20}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), min_size=60, max_size=150), st.integers(0, 5))
def test_no_group_is_in_two_parts(images: list[tuple[str, int]], seed: int) -> None:
    labels, groups = [label for label, _ in images], [str(group) for _, group in images]
    try:
        parts = assign(labels, groups, params(seed=seed))
    except UserError:
        return  # too few groups for three parts; the messages are tested below
    seen = set(zip(groups, parts, strict=True))
    assert len(seen) == len(set(groups))
    assert parts.count("test") <= round(0.2 * len(labels))


def test_ungrouped_lets_a_group_leak() -> None:
    labels, groups = ["a", "b"] * 50, ["same"] * 100
    with pytest.raises(UserError, match="in 1 duplicate groups, too few"):
        assign(labels, groups, params())
    assert set(assign(labels, groups, params(grouped=False))) == {"train", "val", "test"}


def test_the_split_has_its_own_seed() -> None:
    labels, groups = ["a", "b"] * 50, [str(i) for i in range(100)]
    assert assign(labels, groups, params()) == assign(labels, groups, params())
    assert assign(labels, groups, params(seed=1)) != assign(labels, groups, params())


@pytest.mark.parametrize(
    ("labels", "more", "message"),
    [
        (["a"] * 30, {}, "there is one class only"),
        ([], {}, "no image was kept"),
        (["a"] * 30 + ["b"], {}, "the class `b` has 1 images in 1 duplicate groups, too few for the split"),
        (["a", "b"] * 10, {"val": 10, "test": 10}, "leave none for train"),
        (["a", "b"] * 10, {"val": 0.5, "test": 30}, "leave none for train"),
    ],
)
def test_what_cannot_be_split_is_named(labels: list[str], more: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        assign(labels, [str(i) for i in range(len(labels))], params(**more))
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
    parts = assign(labels, groups, published, paths)
    assert parts[80:] == ["test"] * 20
    assert parts[0] == "left_out"
    assert Counter(parts[1:80]) == {"train": 69, "val": 10}
    leaky = assign(labels, groups, params(test={"folder": "test"}, val=10, grouped=False), paths)
    assert Counter(leaky) == {"train": 70, "val": 10, "test": 20}
    with pytest.raises(UserError, match="no kept image came from a folder of that name"):
        assign(labels, groups, params(test={"folder": "tset"}), paths)
