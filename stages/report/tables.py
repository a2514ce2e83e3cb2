# ruff: noqa: RUF001 - typographic minus and dash are what is meant
"""Tables for papers: CSV to work with, LaTeX (booktabs) to print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files

if TYPE_CHECKING:
    from pathlib import Path

    _Table = tuple[str, list[str], list[list[Any]], str]  # name, columns, rows, caption


def write(context: dict[str, Any], folder: Path) -> None:
    """Write every table of the page that a paper would print, from what the templates are given."""
    for name, columns, rows, caption in _tables(context):
        files.write_rows(folder / f"{name}.csv", columns, [dict(zip(columns, row, strict=True)) for row in rows])
        files.write_text(folder / f"{name}.tex", _latex_table(name, [columns, *rows], caption))


def _latex_table(name: str, rows: list[list[Any]], caption: str) -> str:
    lines = [" & ".join(_latex(value) for value in row) + r" \\" for row in rows]
    return "\n".join([
        r"\begin{table}[t]", rf"\caption{{{_latex(caption)}}}", rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}", r"\toprule", lines[0], r"\midrule", *lines[1:],
        r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _tables(context: dict[str, Any]) -> list[_Table]:
    results, classes = context["results"], context["per_class"]
    titles = [title for _, title in results["columns"]]
    found = [
        (
            f"results_{part['split']}",
            ["Rank", "Variant", "Not told apart from", *titles],
            [
                [row["rank"], row["variant"], row["tied"], *(cell["value"] for cell in row["cells"])]
                for row in part["rows"]
            ],
            (
                f"{part['name'].capitalize()} set ({part['images']:,} images), {context['spread']}. "
                "Not told apart from: ranks that the paired comparison on the test set does not tell it apart from."
            ),
        )
        for part in results["splits"]
    ]
    if results["pairs"]:
        columns = [
            "A",
            "B",
            "Difference",
            "Interval",
            "All pairs at once",
            "p",
            "p (adjusted)",
            "New run %",
            "Cohen's h",
        ]
        columns.append("Verdict")
        keys = ("a", "b", "difference", "interval", "wide", "p", "p_adjusted", "chance", "effect", "verdict")
        found.append((
            "comparisons", columns, [[pair[key] for key in keys] for pair in results["pairs"]],
            (
                f"Paired comparisons of test {results['metric']}; {results['confidence']} intervals over "
                f"{results['covers']}."
            ),
        ))  # fmt: skip
    found += [
        (
            f"classes_{variant['name']}",
            ["Class", "Images", "Precision", "Recall", "F1"],
            [[row["label"], row["support"], *row["cells"]] for row in variant["rows"]],
            f"{variant['name']} on the test set, per class, in percent, {context['spread']}.",
        )
        for variant in classes["variants"]
    ]
    cost = ["variant", "top1", "total", "trainable", "macs", "bytes"]
    rows = [[row[key] for key in cost] for row in context["cost"]["rows"]]
    titles = ["Variant", "Test top-1 %", "Parameters", "Trainable", "MACs", "Weights"]
    found.append(("cost", titles, rows, "What the variants cost."))
    return found + [table for table in (_variance(context), _published(context), _leak(context)) if table]


def _variance(context: dict[str, Any]) -> _Table | None:
    if context["variance"] is None:
        return None
    parts = [part.capitalize() for part in context["variance"]["parts"]]
    rows = [
        [row["variant"], *(f"{cell['value']} ({cell['interval']})" for cell in row["cells"])]
        for row in context["variance"]["rows"]
    ]
    level = context["results"]["confidence"]
    caption = f"Standard deviation of test top-1 in points by what varied, with its {level} interval."
    return "variance", ["Variant", *parts], rows, caption


def _published(context: dict[str, Any]) -> _Table | None:
    if context["published"] is None:
        return None
    keys = ("variant", "metric", "published", "here", "n", "difference", "run")
    columns = ["Variant", "Figure", "Published", "Here", "n", "Difference", "Expected"]
    caption = (
        "Published test figures and ours, mean ± SD over n seeds (one seed has no SD); inside or outside: whether the "
        f"{context['results']['confidence']} interval for a further run here holds the published one."
    )
    return "published", columns, [[row[key] for key in keys] for row in context["published"]["rows"]], caption


def _leak(context: dict[str, Any]) -> _Table | None:
    if context["leak"] is None:
        return None
    keys = ("variant", "kind", "splits", "published", "clean", "leak", "interval", "verdict")
    columns = ["Variant", "Images", "Splits", "Published kind", "Clean", "Difference", "Interval", "Verdict"]
    rows = [[row[key] for key in keys] for row in context["leak"]["rows"]]
    return "leak", columns, rows, "Test top-1 % on published splits and on clean ones; 95 % intervals (Welch)."


def _latex(value: Any) -> str:
    """Text with LaTeX's special characters escaped and the page's typography as commands."""
    return "".join(_COMMANDS.get(character, character) for character in str(value))


_COMMANDS = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "−": "$-$",
    "–": "--", "<": "$<$", ">": "$>$",
}  # fmt: skip
