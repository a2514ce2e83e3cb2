"""What the documents name is there: commands, flags, modules, keys, files; and figures are those of the results."""

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from stages.aggregate.joint import Range
from stages.cells.check import MODELS
from stages.core import files
from stages.ingest.params import SOURCES
from stages.tools import site, statistics_page
from stages.train.params import Cell
from tests import tiny

ROOT = tiny.ROOT
OPEN = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "studies/README.md"]
PAGES = (
    [ROOT / name for name in OPEN] + sorted((ROOT / "docs").rglob("*.md")) + sorted(ROOT.glob("studies/*/README.md"))
)
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
GUIDES = {name: text for name, text in TEXTS.items() if "decisions/" not in name}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))


def spans(text: str) -> list[str]:
    """The lines of fenced code, and what stands between backticks: where commands are."""
    fenced = re.findall(r"^```(?:bash|console)\n(.*?)^```", text, re.M | re.S)
    lines = [line.removeprefix("$ ") for block in fenced for line in block.splitlines()]
    rest = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [*lines, *(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest))]


def commands(start: str, texts: dict[str, str] = GUIDES) -> list[str]:
    """Every command of the documents that begins so, without its comment, each once."""
    found = [piece.strip() for text in texts.values() for span in spans(text) for piece in span.split("&&")]
    found = [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", piece).partition(" #")[0].strip() for piece in found]
    return sorted({piece for piece in found if piece.startswith(start)})


def module_path(name: str) -> Path | None:
    """The file that `python -m` runs."""
    place = ROOT.joinpath(*name.split("."))
    return next((path for path in (place / "__main__.py", place.with_suffix(".py")) if path.is_file()), None)


def test_every_make_target_is_there() -> None:
    named = {command.split()[1] for command in commands("make ", TEXTS) if re.match(r"make [a-z]", command)}
    assert len(named) > 12
    assert not named - TARGETS


@pytest.mark.parametrize("name", [name for name, text in GUIDES.items() if "```bash" in text])
def test_blocks_of_bash_are_bash(name: str) -> None:
    for block in re.findall(r"^```bash\n(.*?)^```", GUIDES[name], re.M | re.S):
        done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
        assert not done.stderr, block


def test_every_target_is_explained() -> None:
    assert set(re.findall(r"^\| `make ([a-z-]+)` \|", site.commands(), re.M)) == TARGETS - {"free", "known"}


def test_every_module_is_there() -> None:
    named = {
        re.split(r"[ `]", command)[-1] for text in TEXTS.values() for command in re.findall(r"python -m [\w.]+", text)
    }
    ours = {name for name in named if name.split(".")[0] in ("stages", "studies", "benchmarks")}
    assert len(ours) > 10
    assert not {name for name in ours if module_path(name) is None}
    assert not {name for name in named - ours if importlib.util.find_spec(name.split(".")[0]) is None}


@cache
def in_git() -> set[str]:
    """Files that git has or would add, and their folders."""
    listed = tiny.run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    return {*listed, *(str(parent) for path in listed for parent in Path(path).parents)}


def test_links_lead_to_files_of_the_repository() -> None:
    for name, whole in TEXTS.items():
        text = re.sub(r"^```.*?^```", "", whole, flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link) or link.startswith("#"):
                continue
            target = (ROOT / name).parent / link.partition("#")[0]
            shown = target.resolve().relative_to(ROOT.resolve()).as_posix()
            assert shown in in_git(), f"{name}: {link} leads to nothing that git has"


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from _models(inner)


def _known(models: list[type[BaseModel]], keys: list[str]) -> bool:
    """Whether one of the models has a key, and what is in it the next."""
    if not keys or not models:
        return not keys
    fields = [model.model_fields[keys[0]] for model in models if keys[0] in model.model_fields]
    return bool(fields) and _known([inner for field in fields for inner in _models(field.annotation)], keys[1:])


SECTIONS: dict[str, list[type[BaseModel]]] = {name: [model] for name, model in MODELS.items()}
SECTIONS |= {"train": [Cell], "ingest": list(SOURCES.values())}


def key_is_known(key: str) -> bool:
    first, *rest = key.split(".")
    if first == "variants":
        return len(rest) < 2 or _known([Cell], rest[1:])
    return key in ("lr", "seeds", "study") or (first in SECTIONS and (not rest or _known(SECTIONS[first], rest)))


def test_a_key_that_is_not_there_is_noticed() -> None:
    assert key_is_known("clean.match.turned")
    assert key_is_known("variants.mlp.model.widths")
    assert key_is_known("ingest.table.group")
    assert not [key for key in ("clean.match.mirrored", "clean.turned", "trane.size", "lr.x") if key_is_known(key)]


def test_every_key_is_known() -> None:
    sections = "|".join([*SECTIONS, "variants"])
    for name, text in TEXTS.items():
        found = [span for span in spans(text) if re.match(rf"(?:{sections})\.\w", span)]
        keys = {re.split(r"[:=\s,]", span)[0] for span in found} | set(re.findall(r"-S '?([\w.]+)=", text))
        code = {key for key in keys if (ROOT / "stages" / key.partition(".")[0]).is_dir() and _is_code(key)}
        assert not [key for key in sorted(keys - code) if not key_is_known(key)], name


def _is_code(key: str) -> bool:
    """Whether it is a file or a module, such as `train.py` or `split.csv`."""
    return module_path(f"stages.{key}") is not None or key.rpartition(".")[2] in ("py", "csv", "json", "md")


MADE = [command for command in commands("make ") if re.search(r"[A-Z]+=", command)]


def programs(command: str) -> list[str]:
    """The modules that a `make` command would start, with their arguments."""
    asked = re.sub(r"STUDY=(mine|NAME)\b", "STUDY=cifar10_fa", command.replace("…", "").replace("...", "x"))
    line = shlex.split(asked)
    done = subprocess.run(
        ["make", "-n", "-o", "setup", *line[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return re.findall(r"python -m ((?:stages|studies|benchmarks)[^\n;|]*)", done.stdout)


def test_make_accepts_the_arguments_that_are_shown() -> None:
    assert MADE
    for command in MADE:
        for name in re.findall(r"([A-Z]+)=", command):
            assert re.search(rf"\$\(.*{name}|{name} \?=", MAKEFILE), f"{command}: the Makefile knows no {name}"


@pytest.mark.slow
def test_every_command_line_answers_and_knows_its_flags() -> None:
    """`--help` of each module that reads arguments names every flag that the documents give it."""
    shown = [command.removeprefix("python -m ") for command in commands("python -m ")]
    shown += [program for command in MADE for program in programs(command)]
    flags: dict[str, set[str]] = {}
    for program in shown:
        name, *rest = program.split()
        if name.split(".")[0] in ("stages", "studies", "benchmarks"):
            flags.setdefault(name, set()).update(re.findall(r"(?<![\w-])--[a-z][a-z-]+", " ".join(rest)))
    assert flags["stages.verify"] >= {"--cells", "--record", "--sample"}
    for name, used in flags.items():
        path = module_path(name)
        assert path is not None, name
        if not used and "argparse" not in path.read_text(encoding="utf-8"):
            continue
        done = subprocess.run(
            [sys.executable, "-m", name, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{name} --help: {done.stderr[-300:]}"
        assert not {flag for flag in used - {"--help"} if flag not in done.stdout}, name


def test_figures_and_pictures_are_those_of_the_results() -> None:
    text, pictures = statistics_page.made(statistics_page.PAGE.read_text(encoding="utf-8"))
    advice = "run `python -m stages.tools.statistics_page`"
    assert text == statistics_page.PAGE.read_text(encoding="utf-8"), advice
    for name, svg in pictures.items():
        assert (statistics_page.PICTURES / f"{name}.svg").read_text(encoding="utf-8") == svg, advice
    assert sorted(path.stem for path in statistics_page.PICTURES.iterdir()) == sorted(pictures)


def test_what_the_page_says_of_its_examples_is_so() -> None:
    """Sentences that are written by hand around the figures."""
    rows = files.read_rows(ROOT / "reports/comparisons.csv")
    pair = {frozenset((row["variant_a"], row["variant_b"])): row for row in rows}
    one = pair[frozenset(("cnn", "mlp"))]
    assert float(one["ci_low"]) * float(one["ci_high"]) > 0 > float(one["joint_ci_low"]) * float(one["joint_ci_high"])
    assert one["verdict"] == "undecided"  # clear by itself, not among all pairs
    runs = {row["variant"]: row for row in files.read_rows(ROOT / "reports/summary.csv") if row["metric"] == "top1"
            and row["split"] == "test"}  # fmt: skip
    first, second, third = sorted(runs, key=lambda variant: -float(runs[variant]["mean"]))
    assert pair[frozenset((first, second))]["verdict"] in ("a better", "b better")
    assert pair[frozenset((first, third))]["verdict"] in ("a better", "b better")
    assert pair[frozenset((second, third))]["verdict"] == "undecided"


@pytest.mark.parametrize("variants", [2, 5, 10])
def test_the_error_of_pairs_judged_alone_is_what_simulation_gives(variants: int) -> None:
    import numpy as np

    means = np.random.default_rng(0).standard_normal((40_000, variants))
    apart = means.max(axis=1) - means.min(axis=1) > 1.959964 * np.sqrt(2)
    assert statistics_page.alone_wrong(variants) == pytest.approx(apart.mean(), abs=0.01)
    assert Range(variants, np.array([1e6])).isf(0.05)[0] > 1.95 * np.sqrt(2)  # so all pairs together need more
