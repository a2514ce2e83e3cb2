"""The rules of docs/architecture.md that a machine can check."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# It only validates: were every stage's code its dep, a change of the report would count as a change of the cells.
READS_EVERY_MODEL = {"stages/cells/check.py"}


def imported_stages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("stages.")}


@pytest.mark.parametrize("stage", [*PIPELINE, "core", "verify"])
def test_a_stage_imports_only_what_dvc_knows(stage: str) -> None:
    # `verify` judges the pipeline from outside.
    outside = ["stages/core", f"stages/{stage}"]
    deps = PIPELINE[stage]["deps"] if stage in PIPELINE else outside
    allowed = {dep.split("/")[-1] for dep in deps if dep.startswith("stages/")}
    for path in sorted((ROOT / "stages" / stage).rglob("*.py")):
        if str(path.relative_to(ROOT)) not in READS_EVERY_MODEL:
            extra = imported_stages(path) - allowed
            assert not extra, f"{path.relative_to(ROOT)} imports stages {extra}, which are no deps of `{stage}`"


@pytest.mark.parametrize("stage", list(PIPELINE))
def test_the_folder_is_the_stage(stage: str) -> None:
    assert (ROOT / "stages" / stage / "__main__.py").is_file()
    assert f"python -m stages.{stage}" in PIPELINE[stage]["cmd"]
    assert "stages/core" in PIPELINE[stage]["deps"]
    assert f"stages/{stage}" in PIPELINE[stage]["deps"]


@pytest.mark.parametrize("path", sorted(p for top in ("stages", "tests") for p in (ROOT / top).rglob("*.py")), ids=str)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 320, "split it: a file should be read in one go"


def test_train_starts_without_heavy_libraries() -> None:
    import subprocess
    import sys

    heavy = "{'pandas', 'sklearn', 'mlflow', 'matplotlib'}"
    program = f"import sys, stages.train.__main__; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
