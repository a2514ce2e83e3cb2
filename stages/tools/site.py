"""What mkdocs.yml adds to the pages of docs/: files of the repository that they link to, and two lists made from code.

Links stay as they are, so that GitHub follows them too: `../CONTRIBUTING.md` leads to the page
`repository/CONTRIBUTING.md` of the site. A page of docs/ that the navigation does not name is listed under "How to".
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = "repository"
COMMANDS, CODE = "commands.md", "code.md"
# A block of code, in which nothing is a link; or the target and the anchor of a link.
_LINK = re.compile(
    r"^( *)(```+|~~~+).*?^\1\2[ ]*$|\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)", re.MULTILINE | re.DOTALL
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add to the navigation the pages of docs/ that it does not name, and every decision."""
    docs = Path(config.docs_dir)
    assert config.nav is not None  # noqa: S101 - mkdocs.yml has one
    named = set(_leaves(config.nav))
    more = [page.name for page in sorted(docs.glob("*.md")) if page.name not in named]
    next(part["How to"] for part in config.nav if "How to" in part).extend(more)
    records = sorted(path.relative_to(docs).as_posix() for path in docs.glob("decisions/0*.md"))
    config.nav.append({"Decisions": ["decisions/README.md", *records]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the lists, and every file outside of docs/ that a page links to, and the files that these link to."""
    files.append(File.generated(config, COMMANDS, content=commands()))
    files.append(File.generated(config, CODE, content=code()))
    todo = [f"docs/{page.src_uri}" for page in files.documentation_pages() if page.generated_by is None]
    found = {name.removeprefix(f"{OUTSIDE}/") for name in _leaves(config.nav) if name.startswith(OUTSIDE)}
    seen: set[str] = set()
    while todo or found:
        for target in sorted(found - seen):
            files.append(File.generated(config, f"{OUTSIDE}/{target}", abs_src_path=str(ROOT / target)))
            todo += [target] if target.endswith(".md") else []
        seen |= found
        found = {target for page in todo for target in _targets(page) if not target.startswith("docs/")} - seen
        todo = []
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn the links of a page to the places of their targets in the site."""
    here = page.file.src_uri
    if here in (COMMANDS, CODE):
        return markdown
    source = here.removeprefix(f"{OUTSIDE}/") if here.startswith(f"{OUTSIDE}/") else f"docs/{here}"

    def turned(link: re.Match[str]) -> str:
        target = _resolved(source, link["target"])
        if target is None:  # mkdocs names a link that is broken
            return link[0]
        place = target.removeprefix("docs/") if target.startswith("docs/") else f"{OUTSIDE}/{target}"
        return f"]({posixpath.relpath(place, posixpath.dirname(here))}{link['anchor'] or ''})"

    return _LINK.sub(turned, markdown)


def _leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for inner in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _leaves(inner)


def _targets(source: str) -> set[str]:
    """Files of the repository that a page links to."""
    text = (ROOT / source).read_text(encoding="utf-8")
    found = (_resolved(source, link["target"]) for link in _LINK.finditer(text))
    return {target for target in found if target is not None}


def _resolved(source: str, link: str | None) -> str | None:
    """The file that a link of a page leads to, relative to the repository; None where there is none."""
    if link is None:
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return target if not target.startswith("..") and (ROOT / target).is_file() else None


def commands() -> str:
    """The page of all commands: the targets of the Makefile, and the modules that have a command line."""
    lines = [
        "# Commands", "",
        "This page is made from the Makefile and from the docstrings of the modules.", "",
        "## With make", "", "| command | what it does |", "|---|---|",
    ]  # fmt: skip
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target, said in re.findall(r"^([a-z-]+):[^\n#]*## (.+)$", text, re.MULTILINE):
        lines.append(f"| `make {target}` | {_cell(said)} |")
    lines += [
        "", "## With python", "",
        "These need the environment on the path: `source .venv/bin/activate`. `dvc repro` runs the stages.", "",
        "| command | what it does |", "|---|---|",
    ]  # fmt: skip
    for path in _python("stages", "studies", "benchmarks"):
        source = path.read_text(encoding="utf-8")
        if '__name__ == "__main__"' in source or path.name == "__main__.py":
            lines.append(f"| `python -m {_module(path)}` | {_cell(_said(ast.parse(source)))} |")
    return "\n".join([*lines, ""])


def code() -> str:
    """The page of the code: what the docstrings of packages, modules and public functions say."""
    lines = ["# Code", "", "This page is made from docstrings. [Architecture](architecture.md) has the rules.", ""]
    for package in sorted(path.parent for path in (ROOT / "stages").rglob("__init__.py")):
        about = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
        lines += [f"## {package.relative_to(ROOT).as_posix()}", "", _text(_said(about)), ""]
        for path in sorted(package.glob("[a-z]*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            lines += [f"**`{path.name}`**: {_text(_said(tree))}", ""]
            shown = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
            public = [node for node in shown if not node.name.startswith("_") and node.name != "main"]
            lines += [f"- `{node.name}`: {_text(_said(node))}" for node in public if _said(node)]
            lines += [""] if public else []
    return "\n".join(lines)


def _python(*folders: str) -> list[Path]:
    """Python files; `rglob` does not follow the links of a study."""
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py") if "templates" not in p.parts)


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")


def _said(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())


def _text(said: str) -> str:
    """Plain text of a docstring as Markdown: nothing but code between backticks is markup."""
    parts = re.split(r"(`[^`]*`)", said)
    return "".join(part if k % 2 else re.sub(r"[<*_\[\]]", r"\\\g<0>", part) for k, part in enumerate(parts))


def _cell(said: str) -> str:
    return _text(said).replace("|", "\\|")
