"""`python -m stages.export.cards`: a model card and a data card, from the study's committed results alone.

The data card is Croissant, with the tables of cleaning and splitting as record sets that a program can read.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import cells, console, errors, files, params
from stages.core.errors import UserError
from stages.export import model_card
from stages.predict import champion
from stages.report import data_page, findings, page
from stages.report.evidence import CLEAN
from stages.report.evidence import read as read_evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stages.report.evidence import StudyEvidence

FOLDER = Path("export")
_TABLES = {
    "images": (CLEAN / "manifest.csv", "Every picture that was kept."),
    "ledger": (CLEAN / "ledger.csv", "Every file that came in, and what cleaning did with it."),
}
_WHOLE = ("width", "height")  # columns with whole numbers


def main() -> None:
    """Write export/README.md and export/croissant.json; no weights and no pictures are needed."""
    arguments = parser("stages.export.cards", __doc__).parse_args()
    study = params.read()
    variant, seeds = champion.asked(study, arguments.variant, arguments.seed)
    FOLDER.mkdir(exist_ok=True)
    write(FOLDER, variant, seeds, arguments)
    console.say(f"{FOLDER}/README.md: the model card; {FOLDER}/croissant.json: the data card")


def parser(program: str, about: str | None) -> argparse.ArgumentParser:
    """The flags of all exports: the choice of networks, and the licences, which no file of the study names."""
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
    evidence = read_evidence()
    files.write_text(folder / "README.md", model_card.text(evidence, variant, seeds, licences.licence))
    write_data_card(evidence, folder / "croissant.json", licences.data_licence)


def write_data_card(evidence: StudyEvidence, path: Path, licence: str) -> None:
    """Write the data card, and load it as its reader would.

    Raises:
        UserError: Croissant's own library refuses it.
    """
    import mlcroissant

    with _quiet():
        made = _metadata(evidence, licence).to_json()
        files.write_json(path, made)
        try:
            mlcroissant.Dataset(str(path))
        except mlcroissant.ValidationError as error:
            raise UserError(f"{path} is no valid data card: {' '.join(str(error).split())[:300]}") from None


def _metadata(evidence: StudyEvidence, licence: str) -> Any:
    import mlcroissant

    context = mlcroissant.Context()
    tables = dict(_TABLES)
    for split in evidence.splits:
        seed = split["seeds"][0]
        seeds = page.names([str(one) for one in split["seeds"]])
        word = "seeds" if len(split["seeds"]) > 1 else "seed"
        tables[f"split-{seed}"] = (cells.split_file(seed), f"The part of each picture, for {word} {seeds}.")
    cited = model_card.citation()
    kept = evidence.manifest["label"].value_counts()
    counts = {status: int((evidence.ledger["status"] == status).sum()) for status in data_page.STATUSES}
    return mlcroissant.Metadata(
        ctx=context,
        name=evidence.study.name,
        description=(
            f"The pictures of the study {evidence.study.name}, cleaned and split to compare image classifiers: "
            f"{len(evidence.ledger):,} files in, {counts['kept']:,} kept, {counts['duplicate']:,} duplicates, "
            f"{counts['quarantined']:,} quarantined; {len(evidence.classes)} classes."
        ),
        license=[licence],
        cite_as=(
            "Pictures: cite their source, which this study does not record. Cleaning and split: "
            f"{cited['authors']}: {cited['title']}, version {cited['version']}, {cited['year']}"
        ),
        data_preprocessing_protocol=[*_left_out(evidence), *evidence.split.get("notes", [])],
        data_biases=[f"The largest class has {kept.max():,} pictures, the smallest {kept.min():,}."],
        data_limitations=[*findings.copies(evidence), *model_card.doubts(evidence)],
        distribution=[_file(context, key, path) for key, (path, _) in tables.items()],
        record_sets=[_records(context, key, path, about) for key, (path, about) in tables.items()],
    )


def _left_out(evidence: StudyEvidence) -> list[str]:
    """A sentence for each reason for which files were left out."""
    dropped = evidence.ledger[evidence.ledger["status"] != "kept"]
    found = Counter(zip(dropped["status"], dropped["reason"], strict=True))
    return [f"{page.plural(n, 'file')}: {status}, {reason}" for (status, reason), n in sorted(found.items())]


def _file(context: Any, key: str, path: Path) -> Any:
    """A table of the study; its address counts from the card, which lies in a folder of the study."""
    import mlcroissant

    return mlcroissant.FileObject(
        ctx=context, id=f"{key}.csv", name=path.name, content_url=f"../{path.as_posix()}",
        encoding_formats=["text/csv"], sha256=files.sha256(path),
    )  # fmt: skip


def _records(context: Any, key: str, path: Path, about: str) -> Any:
    import mlcroissant

    def field(column: str) -> Any:
        kind = mlcroissant.DataType.INTEGER if column in _WHOLE else mlcroissant.DataType.TEXT
        source = mlcroissant.Source(file_object=f"{key}.csv", extract=mlcroissant.Extract(column=column))
        return mlcroissant.Field(ctx=context, id=f"{key}/{column}", name=column, data_types=[kind], source=source)

    columns = path.read_text("utf-8").partition("\n")[0].split(",")
    return mlcroissant.RecordSet(ctx=context, id=key, name=key, description=about, fields=list(map(field, columns)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to add a date of publication, a version and an address, which a study does not have."""
    log = logging.getLogger("absl")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "ConjunctiveGraph is deprecated", DeprecationWarning)  # rdflib's own
            yield
    finally:
        log.setLevel(before)


if __name__ == "__main__":
    errors.run(main)
