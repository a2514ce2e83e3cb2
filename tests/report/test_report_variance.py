"""A study whose seeds have splits of their own says so wherever it matters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from stages.core import files
from tests.report.made_study import Made
from tests.report.test_report_page import Balanced, render

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("nested")
    with pytest.MonkeyPatch.context() as patch:
        return render(folder, patch, Made(seeds=4, seeds_per_split=2)), folder


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_both_parts_stand_in_a_table(page: tuple[str, Path]) -> None:
    text, folder = words(page[0]), page[1]
    Balanced().feed(page[0])
    assert "Variation between seeds" in text
    assert "split 2 times, and every variant was trained with 2 seeds on each" in text
    rows = [
        r for r in files.read_rows(folder / "reports/variance.csv") if (r["split"], r["metric"]) == ("test", "top1")
    ]
    assert {row["part"] for row in rows} == {"initialisation", "split", "total"}
    section = page[0].split('id="variance"')[1].split("</section>")[0]
    for row in rows:
        assert f"<td>{100 * float(row['sd']):.2f}<small>" in section
    (first,) = [row for row in files.read_rows(folder / "reports/tables/variance.csv") if row["Variant"] == "variant_0"]
    assert list(first) == ["Variant", "Initialisation", "Split", "Total"]
    assert f"| variant_0 | {first['Initialisation']} | {first['Split']} | {first['Total']} |" in (
        folder / "reports/report.md"
    ).read_text(encoding="utf-8")


def test_the_page_says_what_was_varied(page: tuple[str, Path]) -> None:
    text = words(page[0])
    assert "over 2 splits of these images (60 test images in each, 4 seeds)" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "the order of the images; the split changes every 2 seeds." in text
    assert "All variants share the same 2 splits (seed 0)" in text
    assert "corrected resampled t-test (Nadeau and Bengio 2003)" in text
    assert "The intervals cover images, seeds and splits" in text
    assert "Each split serves 2 seeds (0 and 1; 2 and 3): 2 splits" in text
    assert "of the split of seeds 0 and 1, the same for every variant" in text


def test_split_and_initialisation_together_are_one_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = words(render(tmp_path, monkeypatch, Made(seeds=3, seeds_per_split=1)))
    assert "Split and initialisation changed together, so the SD covers both" in text
    assert "the order of the images, and the split." in text
    assert "Every seed has a split of its own: 3 splits" in text


def test_one_split_has_no_such_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = words(render(tmp_path, monkeypatch, Made()))
    assert "Variation between seeds" not in text
    assert "the order of the images, but not the split." in text
    assert "the effect of a new seed on this split and this test set." in text
