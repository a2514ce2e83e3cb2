"""The model card in the format of the Hugging Face hub: YAML, then Markdown; its sentences are those of the report."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from ruamel.yaml import YAML

from stages.core import cells, files
from stages.predict import champion
from stages.report import caveats, data_page, findings, galleries, page, predictions, results, training
from stages.report.evidence import REPORTS
from stages.report.figures import drawing
from stages.report.page import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.report.evidence import StudyEvidence

TEMPLATES = Path(__file__).parent / "templates"
WORST = 5  # classes, confusions and changes of the picture that the card names
CITATION = Path(__file__).resolve().parents[2] / "CITATION.cff"  # a study reaches this file through a link
_CLEAN = "none"  # of robustness.csv: the unchanged pictures
_BY_HAND = r"(?:^|; )by hand, (?:keep|relabel to)"  # what clean writes into the ledger
_NONE: Any = None  # the figures of a section that draws none


def text(evidence: StudyEvidence, variant: str, seeds: Sequence[int], licence: str) -> str:
    """The card of the networks of `seeds`; its figures are over all seeds of the study, since no seed is chosen."""
    with tempfile.TemporaryDirectory() as folder, drawing(Path(folder)) as figures:
        told = results.build(evidence, figures)
        data = data_page.build(evidence, figures)
        warnings = caveats.build(evidence, figures)
    settings = training.resolved(evidence)[variant]
    context = {
        "study": evidence.study.name,
        "variant": variant,
        "seeds": page.names([str(seed) for seed in seeds]),
        "several": len(seeds) > 1,
        "why": _why(evidence, variant),
        "cost": training.costs(evidence)[variant],
        "config": evidence.configs[variant, evidence.study.seeds[0]],
        "settings": [(key, training.text(value)) for key, value in settings.items()],
        "classes": evidence.classes,
        "data": data,
        "doubts": doubts(evidence),
        "figures": _figures(told, variant),
        "confidence": evidence.confidence,
        "spread": page.spread(len(evidence.study.seeds)),
        "images": {part: page.span(evidence.sizes(part), "image") for part in cells.PARTS},
        "answer": told["answer"],
        "worst": _worst(evidence, variant),
        "confused": predictions.confused(evidence, WORST)[variant],
        "changes": _changes(evidence, variant),
        "caveats": [*warnings["unfair"], *warnings["notes"]],
        "licence": licence,
        "citation": citation(),
    }
    head = Markup(_front(evidence, variant, licence))  # noqa: S704 - YAML, which quotes for itself
    return page.render("model_card.md.j2", context | {"head": head}, TEMPLATES)


def _why(evidence: StudyEvidence, variant: str) -> str:
    chosen = champion.choose(evidence.study)
    if chosen.variant == variant:
        return f"It is the champion of the study, chosen on validation images: {chosen.why}."
    return f"It was asked for; the champion of the study, chosen on validation images, is {chosen.variant}."


def _figures(told: dict[str, Any], variant: str) -> list[dict[str, str]]:
    """A row for each metric of the report: test, validation and training, with the interval of each mean."""
    rows = [{"metric": title} for _, title in told["columns"]]
    for part in told["splits"]:
        own = next(row for row in part["rows"] if row["variant"] == variant)
        for row, cell in zip(rows, own["cells"], strict=True):
            row[part["split"]] = cell["value"] + (f" ({cell['interval']})" if cell["interval"] else "")
    return rows


def _worst(evidence: StudyEvidence, variant: str) -> list[dict[str, Any]]:
    """The classes with the lowest F1 on test, as a mean over the seeds, worst first."""
    table = evidence.cells("per_class.csv")
    table = table[(table["split"] == "test") & (table["variant"] == variant)]
    means = table.groupby("label", sort=False)["f1"].mean()
    lowest = [str(label) for label in means.sort_values(kind="stable").index[:WORST]]
    own = next(one for one in predictions.per_class(evidence, _NONE)["variants"] if one["name"] == variant)
    rows = {row["label"]: row for row in own["rows"]}
    return [rows[label] for label in lowest]


def _changes(evidence: StudyEvidence, variant: str) -> list[str]:
    """The changes of a test picture that cost most top-1, each at its worst strength."""
    table = evidence.cells("robustness.csv")
    own = table[table["variant"] == variant]
    means = own.groupby(["transform", "strength"], sort=False, dropna=False)["top1"].mean()
    lowest = means.groupby("transform", sort=False).min().sort_values(kind="stable")
    clean = float(lowest[_CLEAN])
    return [
        f"{str(name).replace('_', ' ')}: {page.apart(clean - float(value), 'top1', 1)} of top-1"
        for name, value in lowest.iloc[:WORST].items()
        if value < clean
    ]


def _front(evidence: StudyEvidence, variant: str, licence: str) -> str:
    """The YAML that the hub reads."""
    found = evidence.summary[variant, "test", "top1"]
    architecture = str(evidence.configs[variant, evidence.study.seeds[0]]["cell"]["model"]["name"])
    metric = {"type": "accuracy", "name": "Top-1 on test, mean over seeds", "value": round(found.mean, 6)}
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": evidence.study.name, "type": "image-folder", "split": "test"},
        "metrics": [metric],
    }
    front = {
        "license": licence,
        "pipeline_tag": "image-classification",
        "library_name": "onnx",
        "tags": ["image-classification", "evenhand", architecture],
        "metrics": ["accuracy"],
        "model-index": [{"name": f"{evidence.study.name}: {variant}", "results": [result]}],
    }
    yaml, out = YAML(), io.StringIO()
    yaml.width = 4096
    yaml.default_flow_style = False
    yaml.dump(front, out)
    return out.getvalue()


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


def doubts(evidence: StudyEvidence) -> list[str]:
    """How many labels are in doubt, where they are listed, how many were decided; then all decisions by hand."""
    rows = files.read_rows(REPORTS / "suspects.csv")
    audit, judged = galleries.audited(evidence)
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
        ledger = evidence.ledger[evidence.ledger["image_id"].isin(listed)]
        decided = int(ledger[ledger["detail"].str.contains(_BY_HAND)]["image_id"].nunique())
        were = "were" if decided > 1 else "was"
        found.append(f"Of the {plural(len(listed), 'image')} listed, {decided or 'none'} {were} decided by hand.")
    return [*found, *filter(None, [findings.changes(evidence.audit)])]


def _listed(listed: int, found: int, table: str) -> str:
    if not listed:
        return "none is listed"
    return f"listed in `{table}`" if listed == found else f"`{table}` lists the first {listed:,}"
