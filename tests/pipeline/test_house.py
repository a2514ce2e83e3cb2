"""The rules of docs/architecture.md that a machine can check."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# It only validates: were every stage's code its dep, a change of the report would count as a change of the cells.
READS_EVERY_MODEL = ROOT / "stages/cells/check.py"
# Code that a stage may import without naming it in `deps`, since no edit of it changes a byte of an output.
NEUTRAL = {
    ROOT / "stages/core/children.py": "how many processes run beside this one, and how they end",
    ROOT / "stages/core/console.py": "progress bars and lines for whoever watches",
    ROOT / "stages/core/errors.py": "how an error is said; a stage that ends in one writes nothing",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> set[str]:
    """Modules of this project that a file imports, anywhere in it but for type checking."""
    names: set[str] = set()
    todo: list[ast.AST] = [tree(path)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        todo += ast.iter_child_nodes(node)
    return {name for name in names if name.split(".")[0] == "stages"}


def files_of(module: str) -> list[Path]:
    """What Python runs to import a module: the packages that it stands in, and itself; nothing for another name."""
    parts = module.split(".")
    found = [ROOT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)]
    return [path for path in (*found, ROOT.joinpath(*parts).with_suffix(".py")) if path.is_file()]


def reached(start: Path, imports: Callable[[Path], set[str]] = imported) -> set[Path]:
    """Every file of this project that a program runs, itself included."""
    seen: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += [file for module in imports(path) for file in files_of(module)] if path != READS_EVERY_MODEL else []
    return {path for path in seen if len(tree(path).body) > 1}  # more than a docstring


def code_deps(stage: str) -> list[Path]:
    return [ROOT / dep for dep in PIPELINE[stage]["deps"] if dep.startswith("stages/")]


def outside(files: set[Path], deps: list[Path]) -> set[str]:
    """Which files are neither in a dep nor neutral."""
    return {
        str(path.relative_to(ROOT))
        for path in files - set(NEUTRAL)
        if not any(path == dep or dep in path.parents for dep in deps)
    }


@pytest.mark.parametrize("stage", list(PIPELINE))
def test_dvc_knows_all_code_that_a_stage_runs_and_no_other(stage: str) -> None:
    files, deps = reached(ROOT / "stages" / stage / "__main__.py"), code_deps(stage)
    missing = outside(files, deps)
    assert not missing, f"`{stage}` runs {sorted(missing)}, which its `deps` in dvc.yaml do not name"
    for dep in deps:
        assert dep.exists(), f"{dep} is not here"
        assert outside(files, [other for other in deps if other != dep]), f"`{stage}` does not run {dep}"
        assert dep not in NEUTRAL, f"{dep} would make cells stale for nothing"


def test_a_file_that_is_imported_by_way_of_another_is_reached() -> None:
    """Where imports form the chain main, data, files, leaving out the last is noticed."""
    start, between = ROOT / "stages/train/__main__.py", ROOT / "stages/train/data.py"
    chain = {start: {"stages.train.data"}, between: {"stages.core.files"}}
    files = reached(start, lambda path: chain.get(path, set()))
    assert files == {start, between, ROOT / "stages/__init__.py", ROOT / "stages/core/files.py"}
    assert outside(files, [ROOT / "stages/train", ROOT / "stages/__init__.py"]) == {"stages/core/files.py"}


def test_checkpoints_are_keyed_by_the_code_that_decides() -> None:
    from stages.train import checkpoint

    others = {ROOT / "stages" / name for name in checkpoint.DECIDING}
    assert others | {ROOT / "stages/train"} == set(code_deps("train"))


@pytest.mark.parametrize("package", ["core", "verify"])
def test_core_and_verify_import_no_stage(package: str) -> None:
    # `verify` judges the pipeline from outside.
    for path in sorted((ROOT / "stages" / package).rglob("*.py")):
        extra = {name.split(".")[1] for name in imported(path) if "." in name} - {"core", package}
        assert not extra, f"{path.relative_to(ROOT)} imports stages {extra}"


@pytest.mark.parametrize("stage", list(PIPELINE))
def test_the_folder_is_the_stage(stage: str) -> None:
    assert (ROOT / "stages" / stage / "__main__.py").is_file()
    assert f"python -m stages.{stage}" in PIPELINE[stage]["cmd"]
    assert f"stages/{stage}" in PIPELINE[stage]["deps"]


def test_files_stay_small() -> None:
    lines = {
        path: len(path.read_text().splitlines()) for top in ("stages", "tests") for path in (ROOT / top).rglob("*.py")
    }
    assert len(lines) > 300
    long = sorted(str(path) for path, count in lines.items() if count > 320)
    assert not long, "split them: a file should be read in one go"


def test_train_starts_without_heavy_libraries() -> None:
    import subprocess
    import sys

    heavy = "{'pandas', 'sklearn', 'mlflow', 'matplotlib'}"
    program = f"import sys, stages.train.__main__; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
