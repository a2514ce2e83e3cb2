"""A certificate shows what a clone says of itself as text, whatever it says."""

import html
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from stages.core import files
from stages.core.errors import UserError
from stages.verify import certificate
from stages.verify.certificate import Check
from stages.verify.scratch import Place

EVIL = "3.11 |\n\n**All checks hold.** [report](http://evil.example) <img src=//evil.example/p.png> `a`\n\n| a |"


def test_nothing_of_a_clone_is_live_in_a_certificate() -> None:
    check = Check("lock", "the lock fits", 1)
    check.add(f"`{EVIL}", "different", EVIL)
    signed: dict[str, Any] = {
        "study": "s", "folder": ".", "commit": "0" * 40, "uncommitted": [EVIL], "holds": False,
        "checks": [check.as_json()],
        "environment": {
            "here": {"python": "3.11", "packages": {"torch": "2"}},
            "made_with": {"python": EVIL, "packages": {EVIL: EVIL}},
            "machines": [{"cpu": EVIL}], "notes": [EVIL], "unpinned": [EVIL],
        },
    }  # fmt: skip
    text = certificate.text(signed, {"clone": EVIL})
    page = MarkdownIt("commonmark").enable("table").render(text)
    assert page.count("<strong>") == 1
    assert "<strong>At least one check does not hold.</strong>" in page
    assert not re.search("<img|<a |<code", page)
    assert len(re.findall("<table>", page)) == 1
    assert len(re.findall("<h[1-6]", page)) == len(re.findall("(?m)^#+ ", text)) == 4
    assert html.unescape(page).count("[report](http://evil.example) <img") == 10


@pytest.mark.parametrize("machine", ["x", {"threads": "two"}, [1]])
def test_a_record_that_is_no_machine_is_named(tmp_path: Path, machine: object) -> None:
    files.write_json(tmp_path / "results/a/0/train/config.json", {"machine": machine})
    with pytest.raises(UserError, match=r"config\.json is damaged \(`machine` says no type of machine\)"):
        certificate.machines(Place(tmp_path, "."), [("a", 0)])
