from __future__ import annotations

import csv
import itertools
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from stages.core import files
from stages.core.errors import UserError
from stages.core.markdown import markdown
from stages.report import __main__ as command
from stages.report.page import code_in_markdown
from tests.report.made_study import WEIGHTS, Made, make

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Balanced(HTMLParser):
    """Fails on tags that do not close in order; collects ids and links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        for key in ("href", "src", "xlink:href"):
            if found.get(key):
                self.links.append(str(found[key]))
        if tag == "img":
            self.images.append(found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag


def render(folder: Path, monkeypatch: pytest.MonkeyPatch, made: Made) -> str:
    make(folder, made)
    monkeypatch.chdir(folder)
    command.main()
    return (folder / "reports/index.html").read_text(encoding="utf-8")


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        render(folder, patch, Made(variants=3))
    return folder


def test_again_gives_the_same_bytes(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(study)
    shutil.rmtree(study / "reports/figures")
    monkeypatch.chdir(study)
    command.main()
    assert written(study) == before


def test_the_page_stands_alone(study: Path) -> None:
    page = Balanced()
    page.feed((study / "reports/index.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert all(image.get("alt") for image in page.images)


def test_the_foot_says_what_the_page_was_made_from(study: Path) -> None:
    page = (study / "reports/index.html").read_text(encoding="utf-8")
    foot = page[page.index('<section id="provenance"') :]
    for name in ("params.yaml", "data/clean/ledger.csv", "data/clean/manifest.csv", "data/split/seeds/0.csv"):
        assert f"<code>{name}</code></dt><dd><code>sha256 {files.sha256(study / name)}</code>" in foot
    assert (
        f"Pretrained weights of variant_1</dt><dd>w-0a1b.pth (package lite 0.1.0), "
        f"<code>sha256 {WEIGHTS['sha256']}</code>"
    ) in foot
    assert foot.count("Pretrained weights") == 1, "one file, whatever the number of cells that started from it"
    config = files.read_json(study / "results/variant_1/2/train/config.json")
    assert f"Trained on</dt><dd>{', '.join(f'{k} {v}' for k, v in config['machine'].items())}</dd>" in foot


def test_labels_are_escaped(study: Path) -> None:
    page = (study / "reports/index.html").read_text(encoding="utf-8")
    assert "<class &" not in page
    assert "1 &lt;class &amp; 1&gt;" in page


def test_every_link_of_the_text_leads_somewhere(study: Path) -> None:
    text = (study / "reports/report.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all((study / "reports" / link).is_file() for link in links)


def test_the_sums_of_the_ledger_stand_on_the_page(study: Path) -> None:
    assert "245 files in = 220 kept + 22 duplicates + 3 quarantined." in (study / "reports/index.html").read_text(
        "utf-8"
    )


@pytest.mark.parametrize("name", ["reports/summary.csv", "results/variant_1/2/evaluate/confusion.csv"])
def test_a_missing_file_is_named(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "reports/figures")
    (tmp_path / "reports/index.html").unlink()
    (tmp_path / name).unlink()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=name):
        command.main()
    assert not (tmp_path / "reports/index.html").exists()
    assert not (tmp_path / "reports/figures").exists()


def test_one_variant_one_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = render(tmp_path, monkeypatch, Made(variants=1, seeds=1))
    assert "It is the only variant" in page
    assert not re.search(r"\bnan\b", page, flags=re.IGNORECASE)


def test_one_seed_says_nothing_of_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page, text and tables: no verdict, no SD, no interval over seeds, and what each interval covers."""
    page = render(tmp_path, monkeypatch, Made(variants=3, seeds=1))
    text = (tmp_path / "reports/report.md").read_text(encoding="utf-8")
    tables = "".join(path.read_text(encoding="utf-8") for path in sorted((tmp_path / "reports/tables").iterdir()))
    for written in (page, text, tables):
        assert not re.search("is better|is ahead|differ, too|1 seeds|over seeds, bars|images and seeds", written)
    reason = "one seed shows nothing about the variation between seeds"
    assert f"This does not decide between the variants: {reason}." in page
    assert f"Here these are the ranks of all other variants: {reason}." in page
    assert f"Here these are the ranks of all other variants: {reason}." in text
    assert "There is one seed, so there is no SD and no interval over seeds." in page
    assert "interval over test images alone" in page
    assert "by the luck of the test images alone" in page
    assert "cover test images alone" in page
    assert "interval over test images alone" in tables
    assert tables.count("not decided (one seed)") == 6  # three pairs, as CSV and as LaTeX
    assert re.search(r"<td>\d+\.\d</td>", page)  # a mean without SD


def test_several_seeds_decide_and_say_what_is_covered(study: Path) -> None:
    page = (study / "reports/index.html").read_text(encoding="utf-8")
    assert "Mean ± sample SD over 3 seeds." in page
    assert "The intervals cover images and seeds:" in page
    assert "Better: the interval for all pairs excludes 0 (adjusted p below 0.05)" in page
    assert "one seed" not in page.lower()


def test_every_metric_stands_for_every_set(study: Path) -> None:
    page = (study / "reports/index.html").read_text(encoding="utf-8")
    table = page[page.index("<summary>Every metric on every set</summary>") :]
    table = table[: table.index("</table>")]
    with (study / "reports/summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    metrics = {row["metric"] for row in rows}
    assert {"micro_precision", "weighted_f1", "macro_recall", "mcc", "brier"} <= metrics
    assert table.count('<tr><th scope="row">') == len(metrics)
    shown = re.search(r"Weighted F1 %</th><td>([\d.]+) ", table)
    assert shown
    first = re.search(r'<th scope="row">(variant_\d)</th>', page)  # the first of the ranking
    assert first
    value = next(
        row["mean"]
        for row in rows
        if (row["variant"], row["split"], row["metric"]) == (first[1], "test", "weighted_f1")
    )
    assert float(shown[1]) == pytest.approx(100 * float(value), abs=0.051)


def test_a_confusion_matrix_has_counts_and_shares(study: Path) -> None:
    page = (study / "reports/index.html").read_text(encoding="utf-8")
    matrix = page[page.index('aria-label="Confusion matrix of variant_0"') :]
    for row in re.findall(r'<tr><th scope="row">.*?</tr>', matrix[: matrix.index("</table>")]):
        counts = [int(n) for n in re.findall(r">(\d+)<small>", row)]
        shares = [int(n) for n in re.findall(r"<small>(\d+)%</small>", row)]
        assert shares == [round(100 * count / sum(counts)) for count in counts]
        assert sum(counts) > 0


def test_strengths_have_their_units(study: Path) -> None:
    page = (study / "reports/index.html").read_text(encoding="utf-8")
    assert "noise<small>SD, share of white</small>" in page
    assert ">quality<" in page  # of JPEG, on the axis
    text = (study / "reports/report.md").read_text(encoding="utf-8")
    assert re.search(r"!\[Colours of the variants: variant_2, .*\]\(figures/robustness.png\)", text)


def test_every_table_of_the_text_is_one_in_markdown(study: Path) -> None:
    """The line under a header holds dashes alone, and every row has as many cells as the header."""
    lines = (study / "reports/report.md").read_text(encoding="utf-8").splitlines()

    def cells(line: str) -> int:
        return len(re.findall(r"(?<!\\)\|", line)) - 1

    tables = [k for k, line in enumerate(lines) if line.startswith("|") and not lines[k - 1].startswith("|")]
    assert len(tables) > 5
    for start in tables:
        assert re.fullmatch(r"\|(:?-+:?\|)+", lines[start + 1]), lines[start : start + 2]
        rows = list(itertools.takewhile(lambda line: line.startswith("|"), lines[start:]))
        assert {cells(row) for row in rows} == {cells(rows[0])}, rows[:3]


def test_code_in_our_sentences_stays_code_and_names_stay_text(study: Path) -> None:
    text = (study / "reports/report.md").read_text(encoding="utf-8")
    assert "`split." in text or "`clean." in text or "`aggregate." in text
    assert "\\`" not in text
    assert (
        str(code_in_markdown("set `clean.turned` for a*b and `$(x)`")) == r"set `clean.turned` for a\*b and \`\$(x)\`"
    )


def test_the_text_has_the_paired_comparisons(study: Path) -> None:
    text = (study / "reports/report.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| variant_\d − variant_\d \|", line)]  # noqa: RUF001
    assert len(rows) == 3
    assert "The intervals cover images and seeds" in text


def test_a_confused_pair_leads_to_a_picture_by_whichever_seed(study: Path) -> None:
    page = (study / "reports/index.html").read_text(encoding="utf-8")
    linked = 0
    for variant in ("variant_0", "variant_1"):  # variant_2 errs nowhere
        tables = [pd.read_parquet(path) for path in study.glob(f"results/{variant}/*/evaluate/predictions.parquet")]
        errors = pd.concat(tables).query("split == 'test' and label != predicted")
        shown = set(zip(errors["label"], errors["predicted"], strict=True))  # 12 pairs, all of which have a picture
        table = page[page.index(f'aria-label="Most confused pairs of {variant}"') :]
        rows = re.findall(
            r'<th scope="row">(.*?)</th><td class="left">(.*?)</td>.*?</tr>', table[: table.index("</table>")]
        )
        links = re.findall(r'aria-label="A picture of (.*?) taken for (.*?)"', table[: table.index("</table>")])
        assert {tuple(map(unescape, pair)) for pair in links} == shown & {tuple(map(unescape, row)) for row in rows}
        linked += len(links)
    assert linked > 3


def test_pairs_that_the_limit_kept_apart_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pairs, of which one has a picture in train and one in test; it comes first, in the page and in the text."""
    make(tmp_path, Made(variants=1, seeds=1, transforms=1))
    rows = files.read_rows(tmp_path / "data/split/seeds/0.csv")
    train, test = ([row["image_id"] for row in rows if row["split"] == part] for part in ("train", "test"))
    audit = files.read_json(tmp_path / "data/clean/audit.json")
    links = [[train[0], train[1]], [test[0], test[1]], [train[2], test[2]]]
    files.write_json(tmp_path / "data/clean/audit.json", audit | {"links_cut": links})
    monkeypatch.chdir(tmp_path)
    command.main()
    paths = {row["image_id"]: row["path"] for row in files.read_rows("data/clean/ledger.csv")}
    html = (tmp_path / "reports/index.html").read_text(encoding="utf-8")
    assert "Cleaning found 3 pairs of similar pictures" in html
    assert "In 1 of them, the two pictures are in different parts of the split." in html
    table = html[html.index('aria-label="Similar pictures that were not put into one group"') :]
    cells = re.findall(
        r'<tr><th scope="row".*?>(.*?)</th><td.*?>(.*?)</td><td.*?>(.*?)</td>', table[: table.index("</table>")]
    )
    expected = [
        (*(paths[image] for image in link), parts)
        for link, parts in zip((links[2], links[0], links[1]), ("train and test", "no", "no"), strict=True)
    ]
    assert [tuple(map(unescape, cell)) for cell in cells] == expected
    text = (tmp_path / "reports/report.md").read_text(encoding="utf-8")
    assert f"| {markdown(expected[0][0])!s} | {markdown(expected[0][1])!s} | train and test |" in text
