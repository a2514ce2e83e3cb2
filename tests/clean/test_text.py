"""What a font lacks is drawn in another, or escaped; never as a box."""

from __future__ import annotations

import pytest
from PIL import ImageFont

from stages.clean.text import legible

from .conftest import Raw, photo


def test_latin_text_keeps_its_font() -> None:
    lines, font = legible(["Lady Finger", "a\nb"], 10)
    assert lines == ["Lady Finger", "a?b"]
    assert font.getbbox("a") == ImageFont.load_default(10).getbbox("a")


@pytest.mark.parametrize("name", ["brûlée", "Пельмени", "Ελληνικά"])
def test_other_alphabets_are_drawn(name: str) -> None:
    pytest.importorskip("matplotlib")
    (line,), font = legible([name], 10)
    assert line == name
    assert bytes(font.getmask(name[2])) != bytes(font.getmask("\U0010fffe"))


def test_right_to_left_is_turned() -> None:
    pytest.importorskip("matplotlib")
    assert legible(["گربه 12"], 10)[0] == ["12 هبرگ"]


def test_what_no_font_has_is_escaped_and_fits() -> None:
    assert legible(["寿司 a"], 10)[0] == ["\\u5bff\\u53f8 a"]
    (line,), font = legible(["寿司" * 20], 10, 100)
    assert line.endswith("\\u5bff\\u53f8")
    assert font.getlength(line) <= 100


def test_class_names_of_any_alphabet_stand_on_the_sheets(raw: Raw) -> None:
    for label in ("寿司", "قورباغه"):
        raw.add(f"{label}/1.png", photo(1), label)
        raw.add(f"{label}/2.png", photo(2), label)
    raw.run(label_conflicts="keep_all")
    assert (raw.root / "reports/clean/duplicates-1.png").exists()
    assert len(raw.manifest()) == 4
