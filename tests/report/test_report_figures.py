from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from stages.report.figures import drawing

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def drawn(folder: Path, width: float, monkeypatch: pytest.MonkeyPatch) -> tuple[str, bytes]:
    """A figure with clip paths and markers, whose axes are so wide."""
    with drawing(folder) as figures:
        canvas = figures.canvas(2, 2)
        canvas.add_axes((0.2, 0.2, width, 0.7)).plot([1, 2, 3], [1, 10, 100], "o-")
        monkeypatch.setattr(canvas, "tight_layout", lambda **_: None)  # it would place the axes itself
        return str(figures.add("cost", canvas, "words").svg), (folder / "cost.png").read_bytes()


def test_the_last_bit_of_a_coordinate_does_not_reach_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors differ in it; matplotlib names clip paths by a hash of them."""
    assert drawn(tmp_path, 0.7, monkeypatch) == drawn(tmp_path, math.nextafter(0.7, 1), monkeypatch)


def test_ids_are_counted_and_each_reference_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    svg, _ = drawn(tmp_path, 0.7, monkeypatch)
    defined = re.findall(r' id="([^"]+)"', svg)
    assert defined == [f"cost-{number}" for number in range(1, len(defined) + 1)]
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)) == set(defined)
