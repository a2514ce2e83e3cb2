from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scipy import stats

from stages.core import files
from stages.core.errors import UserError
from stages.report import evidence, findings, published
from stages.report.figures import Figures
from stages.tools import timings
from tests.report.made_study import Made, make

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    make(root, Made(variants=2, classes=6))
    return root


@pytest.fixture
def found(folder: Path) -> Iterator[evidence.StudyEvidence]:
    with contextlib.chdir(folder):
        yield evidence.read()


def test_inside_is_what_the_interval_holds(folder: Path, found: evidence.StudyEvidence) -> None:
    built = published.build(found, Figures(folder))
    assert built is not None
    rows = {(row["variant"], row["metric"]): row for row in built["rows"]}
    assert list(rows) == [(v, m) for v in ("variant_0", "variant_1") for m in ("Top-1 %", "Top-5 %", "Loss")]
    for variant in found.variants:
        ours = found.summary[variant, "test", "top1"]
        assert ours.sd
        row = rows[variant, "Top-1 %"]
        mine, theirs = ours.sd**2 / 3, 0.01**2 / 3  # the published mean is of 3 runs with their own SD: Welch
        freedom = (mine + theirs) ** 2 / (mine**2 / 2 + theirs**2 / 2)
        half = stats.t.ppf(0.975, freedom) * (mine + theirs) ** 0.5
        low, high = ours.mean - half, ours.mean + half
        assert row["published"] == "90.0 ± 1.0"
        assert row["run"].split(": ")[1] == f"{100 * max(low, 0):.1f} to {100 * min(high, 1):.1f}"
        assert row["run"].startswith("inside: " if low <= 0.9 <= high else "outside: ")
        assert float(row["difference"].replace("−", "-")) == pytest.approx(100 * (ours.mean - 0.9), abs=0.051)  # noqa: RUF001
    assert [row["system"] for row in built["absent"]] == ["absent"], "a row of the same study alone is missing here"


def test_hazards_are_what_cleaning_found(found: evidence.StudyEvidence) -> None:
    counts = [line.rstrip(".").rsplit(": ", 1)[1] for line in findings.hazards(found)]
    assert counts == ["22 of 245 files", "2", "1", "3"]


def test_a_study_without_published_systems_has_no_such_section(found: evidence.StudyEvidence, tmp_path: Path) -> None:
    rows = files.read_rows("published.csv")
    files.write_rows(tmp_path / "other.csv", list(rows[0]), rows[1:])
    files.write_rows(tmp_path / "none.csv", ["variant"], [])
    settings = found.settings.model_copy(
        update={"published": str(tmp_path / "other.csv"), "leak": str(tmp_path / "none.csv")}
    )
    other = evidence.StudyEvidence(found.study, settings)
    assert published.build(other, Figures(tmp_path)) is None
    assert published.leak(other, Figures(tmp_path)) is None


def test_a_missing_column_is_named(found: evidence.StudyEvidence, tmp_path: Path) -> None:
    rows = files.read_rows("published.csv")
    settings = found.settings.model_copy(update={"published": str(tmp_path / "p.csv")})
    for column in published.Reported.model_fields:
        columns = [other for other in rows[0] if other != column]
        files.write_rows(tmp_path / "p.csv", columns, [{other: row[other] for other in columns} for row in rows])
        with pytest.raises(UserError) as raised:
            published.build(evidence.StudyEvidence(found.study, settings), Figures(tmp_path))
        assert str(raised.value) == (
            f"{tmp_path}/p.csv has no column `{column}`; it needs system, study, epochs, top1, top1_sd, top5, loss, "
            "loss_sd, runs, test_images, epoch_seconds, hardware, note"
        )


def test_the_cost_of_copies_stands_with_its_intervals(found: evidence.StudyEvidence, tmp_path: Path) -> None:
    built = published.leak(found, Figures(tmp_path))
    assert built is not None
    assert [(row["kind"], row["leak"], row["interval"]) for row in built["rows"]] == [
        (kind, *rest) for rest in (("+5.0", "1.0 to 9.0"), ("+3.0", "1.0 to 7.0")) for kind in published.KINDS.values()
    ]
    assert "a training set of the published kind has 100 images of cat, and a clean one has 80." in built["note"]
    assert (tmp_path / "leak.png").is_file()


def test_seconds_stand_beside_theirs_on_the_page_of_timings(found: evidence.StudyEvidence) -> None:
    for seed in (0, 1, 2):
        seconds = {"epoch_seconds_first": 4.0, "epoch_seconds_median": 2.5 + seed, "epoch_seconds": [4.0, 2.5 + seed]}
        files.write_json(f"timings/variant_0/{seed}.json", {**seconds, "seconds_to_fit": 9.0, "hardware": "a CPU"})
    timings.write(found)
    page = Path("timings/index.html").read_text(encoding="utf-8")
    row = page[page.index("Seconds per epoch, published") :].split("variant_0")[1].split("</tr>")[0]
    assert [cell.split("<")[0] for cell in row.replace(' class="left"', "").split("<td>")[1:]] == [
        "5.5 s", "Tesla T4", "3.5 s", "a CPU",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "text", "fault"),
    [
        ("top1", "92,5", "a valid number"),
        ("top1", "92.5", "less than or equal to 1"),
        ("top1_sd", "-", "a valid number"),
        ("loss", "inf", "a finite number"),
        ("epoch_seconds", "n/a", "a valid number"),
        ("runs", "0", "greater than 0"),
        ("runs", "2.5", "a valid integer"),
        ("test_images", "1,000", "a valid integer"),
    ],
)
def test_text_in_the_place_of_a_number_is_named(
    found: evidence.StudyEvidence, tmp_path: Path, column: str, text: str, fault: str
) -> None:
    row = dict.fromkeys(published.Reported.model_fields, "") | {"system": "variant", "study": "s", column: text}
    files.write_rows(tmp_path / "p.csv", list(row), [row])
    settings = found.settings.model_copy(update={"published": str(tmp_path / "p.csv")})
    with pytest.raises(UserError, match=f"`{column}` of the system variant is '{text}'.*{fault}"):
        published.rows(evidence.StudyEvidence(found.study, settings))
