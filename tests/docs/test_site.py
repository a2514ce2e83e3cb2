"""The site: it builds without a warning, asks no other server for anything, and holds every page."""

import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest

from stages.tools import site
from tests import tiny


class Loaded(HTMLParser):
    """What a page loads, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a":
            self.links.append(found.get("href") or "")
        elif tag in ("script", "img", "link", "iframe", "source"):
            self.loads.append(found.get("src") or found.get("href") or "")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Loaded]:
    folder = tmp_path_factory.mktemp("site")
    tiny.run(tiny.ROOT, "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder), NO_MKDOCS_2_WARNING="1")
    pages = {}
    for path in folder.rglob("*.html"):
        pages[path] = Loaded()
        pages[path].feed(path.read_text(encoding="utf-8"))
    return pages


def test_every_page_is_there(built: dict[Path, Loaded]) -> None:
    names = {path.stem for path in built}
    assert names >= {path.stem for path in (tiny.ROOT / "docs").rglob("*.md")} - {"README"}
    assert names >= {"CONTRIBUTING", "SECURITY", "CHANGELOG", "commands", "code"}


def test_pages_load_nothing_from_elsewhere(built: dict[Path, Loaded]) -> None:
    loads = {load for page in built.values() for load in page.loads}
    assert any(load.endswith(".css") for load in loads)
    assert not [load for load in loads if re.match(r"(?:[a-z]+:)?//", load)]


def test_links_and_pictures_lead_to_files_of_the_site(built: dict[Path, Loaded]) -> None:
    for path, page in built.items():
        if path.name == "404.html":  # its links begin at the root of a server
            continue
        for link in [*page.links, *page.loads]:
            place = unquote(link.partition("#")[0])
            if place and not re.match(r"[a-z]+:", place):
                assert (path.parent / place).exists(), f"{path.name}: {link}"


def test_links_in_code_stay_and_others_are_led() -> None:
    text = "[a](../README.md#x)\n```\n[b](../README.md)\n```\n[c](nowhere.md) [d](decisions/README.md)\n"
    assert site._resolved("docs/howto.md", "../README.md") == "README.md"
    assert site._resolved("docs/howto.md", "../../elsewhere.md") is None
    page: Any = SimpleNamespace(file=SimpleNamespace(src_uri="howto.md"))
    changed = site.on_page_markdown(text, page)
    assert changed == text.replace("[a](../README.md#x)", "[a](repository/README.md#x)")
