"""The drawn letters, digits and signs: what is drawn, that it can be told apart, and that it comes out again."""

import hashlib
import io
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.ft2font import FT2Font
from PIL import Image

from stages.core.errors import UserError
from studies import glyphs


def test_the_same_bytes_each_time_and_others_with_another_seed() -> None:
    def content(seed: int) -> list[str]:
        return [hashlib.sha256(c).hexdigest() for _, c in glyphs.pictures(2, seed, "0A&λ")]

    once = content(0)
    assert once == content(0)
    assert len({*once, *content(1)}) == 4 * 4  # no picture is drawn twice


def test_a_picture_does_not_depend_on_those_before_it() -> None:
    alone = dict(glyphs.pictures(3, 0, "7"))
    assert alone.items() <= dict(glyphs.pictures(4, 0, "07")).items()


def test_every_file_is_a_picture_of_its_class_and_size() -> None:
    drawn = list(glyphs.pictures(1, 0))
    assert len(drawn) == len(glyphs.GLYPHS) >= 50
    for path, content in drawn:
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64)), path


def test_folders_are_safe_where_capitals_do_not_count() -> None:
    names = [glyphs.name(glyph) for glyph in glyphs.GLYPHS]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert [glyphs.name(glyph) for glyph in "Aa0Ωλ$"] == [
        "upper_a", "lower_a", "digit_0", "greek_omega", "greek_lower_lamda", "dollar_sign"
    ]  # fmt: skip


@pytest.mark.parametrize("font", glyphs.FONTS)
def test_each_font_has_all_glyphs(font: str) -> None:
    has = FT2Font(f"{mpl.get_data_path()}/fonts/ttf/{font}.ttf").get_charmap()
    assert not [glyph for glyph in glyphs.GLYPHS if ord(glyph) not in has]


def test_the_ink_stands_out_from_its_ground() -> None:
    """The same random numbers without a glyph give the ground alone."""

    def grey(glyph: str, seed: int) -> np.ndarray:
        return np.asarray(glyphs.picture(glyph, np.random.default_rng(seed)).convert("L")).astype(float)

    for seed in range(50):
        difference = np.abs(grey("8", seed) - grey(" ", seed))
        inked = difference > 10
        assert 0.02 < inked.mean() < 0.5
        assert difference[inked].mean() > 50


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["glyphs", str(tmp_path / "new"), "--images", "1"])
    glyphs.main()
    assert len(list((tmp_path / "new").glob("*/000.jpg"))) == len(glyphs.GLYPHS)
    with pytest.raises(UserError, match="nothing is overwritten"):
        glyphs.main()
