"""A lock file cut at any place is made whole, from what it says and from the last commit."""

import pytest
from ruamel.yaml import YAML

from stages.verify import mend
from tests import tiny

WHOLE = (tiny.ROOT / "dvc.lock").read_text()
STAGES = YAML(typ="safe").load(WHOLE)["stages"]
NAMES = list(STAGES)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.62, 0.97, 1.0])
def test_what_the_cut_file_says_in_full_is_kept(share: float) -> None:
    cut = WHOLE[: int(share * len(WHOLE))]
    text = mend.mended(cut, "")
    kept = YAML(typ="safe").load(text)["stages"] if text else {}
    began = [name for name in NAMES if f"\n  {name}:\n" in cut]
    assert list(kept) == began[:-1], "the last one may be cut"
    assert all(kept[name] == STAGES[name] for name in kept)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_other_stages_come_from_the_commit(share: float) -> None:
    newer = WHOLE.replace("size: ", "size: 1")
    cut = newer[: int(share * len(newer))]
    kept = YAML(typ="safe").load(mend.mended(cut, WHOLE))["stages"]
    known = NAMES[: max(sum(f"\n  {name}:\n" in cut for name in NAMES) - 1, 0)]
    new = YAML(typ="safe").load(newer)["stages"]
    assert list(kept) == NAMES
    assert kept == {name: (new if name in known else STAGES)[name] for name in NAMES}


def test_what_is_no_lock_at_all_gives_way_to_the_commit() -> None:
    assert mend.mended("<<<<<<< HEAD\n  cells:\n    - what\n  ingest:\n", WHOLE) == WHOLE
