"""Our hashes are DVC's."""

from pathlib import Path

from stages.verify import lock
from stages.verify.scratch import Place

RECORDED = "cee41cebd9e41f6e2a80d88693a78b47.dir"  # by DVC 3.67 for the folder below


def test_a_folder_has_the_hash_that_dvc_records(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hi\n")
    (tmp_path / "y").write_text("ho\n")
    assert lock.digest(tmp_path) == RECORDED


def test_what_is_in_the_cache_is_read_from_dvc_yaml(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  a:\n    outs: [raw, 'runs/${item.v}/m', {'res/${item.v}': {cache: false}}]\n  b: {deps: [raw]}\n"
    )
    outs = "".join(f"    - {{path: {path}, md5: '0'}}\n" for path in ("raw", "runs/x/m", "res/x", "rawer"))
    (tmp_path / "dvc.lock").write_text(f"stages:\n  a:\n    outs:\n{outs}")
    place = Place(tmp_path, ".")
    assert lock.cached(place) == {"raw", "runs/x/m"}
    assert lock.without_output(place) == {"b"}
