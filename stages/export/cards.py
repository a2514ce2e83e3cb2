"""`python -m stages.export.cards`: a model card and a data card, from the study's committed results alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from stages.core import console, errors, files, params
from stages.predict import champion
from stages.report import evidence, findings, galleries, page
from stages.report.page import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.report.evidence import StudyEvidence

FOLDER = Path("export")
CITATION = Path(__file__).resolve().parents[2] / "CITATION.cff"  # a study reaches this file through a link
_BY_HAND = r"(?:^|; )by hand, (?:keep|relabel to)"  # what clean writes into the ledger


def main() -> None:
    """Write export/README.md and export/croissant.json; no weights and no pictures are needed."""
    arguments = parser("stages.export.cards", __doc__).parse_args()
    study = params.read()
    variant, seeds = champion.asked(study, arguments.variant, arguments.seed)
    FOLDER.mkdir(exist_ok=True)
    write(FOLDER, variant, seeds, arguments)
    console.say(f"{FOLDER}/README.md: the model card; {FOLDER}/croissant.json: the data card")


def parser(program: str, about: str | None) -> argparse.ArgumentParser:
    """The flags of all exports: for which networks, and what no file of the study says."""
    found = argparse.ArgumentParser(prog=f"python -m {program}", description=about)
    champion.add_arguments(found)
    found.add_argument("--licence", default="unknown", help="of the weights, as the Hugging Face hub names it")
    found.add_argument("--data-licence", default="unknown", help="of the pictures")
    return found


def write(folder: Path, variant: str, seeds: Sequence[int], licences: argparse.Namespace) -> None:
    """Write both cards into `folder`, which stands in the folder of the study.

    Raises:
        UserError: the study has no report yet.
    """
    from stages.export import data_card

    found = evidence.read()
    write_model(found, folder, variant, seeds, licences.licence)
    data_card.write(found, folder / "croissant.json", licences.data_licence)


def write_model(found: StudyEvidence, folder: Path, variant: str, seeds: Sequence[int], licence: str) -> None:
    """Write the model card alone."""
    from stages.export import model_card

    files.write_text(folder / "README.md", model_card.text(found, variant, seeds, licence))


def citation() -> dict[str, str]:
    """Title, authors, version, year and licence of the software, from CITATION.cff."""
    found = YAML(typ="safe").load(CITATION.read_text("utf-8"))
    authors = [author.get("name") or f"{author['given-names']} {author['family-names']}" for author in found["authors"]]
    return {
        "title": str(found["title"]),
        "authors": page.names(authors),
        "version": str(found["version"]),
        "year": str(found["date-released"])[:4],
        "licence": str(found["license"]),
    }


def doubts(study: StudyEvidence) -> list[str]:
    """How many labels are in doubt, where they are listed, how many were decided; then all decisions by hand."""
    rows = files.read_rows(evidence.REPORTS / "suspects.csv")
    audit, judged = galleries.audited(study)
    found = []
    if rows:
        wrong = int(rows[0]["found"])
        count, where = plural(wrong, "validation or test image"), _listed(len(rows), wrong, "reports/suspects.csv")
        found.append(f"Most networks contradict the label of {count} ({where}).")
    if judged:
        wrong = int(files.read_json(galleries.AUDIT / "summary.json")["found"])
        where = _listed(len(audit), wrong, "reports/audit/suspects.csv")
        calls = f"{plural(wrong, 'label')} {'a likely error' if wrong == 1 else 'likely errors'} ({where})"
        found += [f"An audit of {plural(len(judged), 'image')} calls {calls}."] if wrong else []
    listed = {row["image_id"] for row in rows} | audit
    if listed:
        ledger = study.ledger[study.ledger["image_id"].isin(listed)]
        decided = int(ledger[ledger["detail"].str.contains(_BY_HAND)]["image_id"].nunique())
        were = "were" if decided > 1 else "was"
        found.append(f"Of the {plural(len(listed), 'image')} listed, {decided or 'none'} {were} decided by hand.")
    return [*found, *filter(None, [findings.changes(study.audit)])]


def _listed(listed: int, found: int, table: str) -> str:
    if not listed:
        return "none is listed"
    return f"listed in `{table}`" if listed == found else f"`{table}` lists the first {listed:,}"


if __name__ == "__main__":
    errors.run(main)
