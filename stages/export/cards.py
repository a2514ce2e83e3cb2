"""`python -m stages.export.cards`: a model card and a data card, from the study's committed results alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import console, errors, files, params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.report.evidence import StudyEvidence

FOLDER = Path("export")


def main() -> None:
    """Write export/README.md and export/croissant.json; no weights and no pictures are needed."""
    from stages.predict import champion

    arguments = parser("stages.export.cards", __doc__).parse_args()
    study = params.read()
    variant, seeds = champion.asked(study, arguments.variant, arguments.seed)
    FOLDER.mkdir(exist_ok=True)
    write(FOLDER, variant, seeds, arguments)
    console.say(f"{FOLDER}/README.md: the model card; {FOLDER}/croissant.json: the data card")


def parser(program: str, about: str | None) -> argparse.ArgumentParser:
    """The flags of all exports: for which networks, and what no file of the study says."""
    from stages.predict import champion

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
    from stages.report import evidence

    found = evidence.read()
    write_model(found, folder, variant, seeds, licences.licence)
    data_card.write(found, folder / "croissant.json", licences.data_licence)


def write_model(found: StudyEvidence, folder: Path, variant: str, seeds: Sequence[int], licence: str) -> None:
    """Write the model card alone."""
    from stages.export import model_card

    files.write_text(folder / "README.md", model_card.text(found, variant, seeds, licence))


if __name__ == "__main__":
    errors.run(main)
