# ruff: noqa: RUF001 - typographic minus is what is meant
"""A label is text: in Markdown and in figures, whatever it looks like."""

import html
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from stages.core.markdown import markdown
from stages.report import figures, page

HOSTILE = [
    "<script>alert(1)</script>", "[a](javascript:alert(1))", "![p](http://127.0.0.1/p.png)", "a|b", "a\nb", "`a`",
    "http://127.0.0.1", "www.example.org", "&lt;b&gt;", "_a_", "*a*", "# a", "- a", "~~a~~", "$$", "a\\", "\u202eabc",
]  # fmt: skip


@pytest.mark.parametrize("label", HOSTILE, ids=ascii)
def test_markdown_makes_nothing_of_a_label(label: str) -> None:
    text = str(markdown(label))
    assert text != label
    assert text.isprintable(), "it stays in its row, and shows all of itself"
    plain = text.replace("\\\\", "")
    for sign in ("<s", "](", "![", "|", "`", "://", "&l", "*a", "~~"):
        assert sign not in plain.replace(f"\\{sign[0]}", "") or sign[0] == "]", f"{sign} works in {text}"


LINKS = [
    "1https://e.org", "_https://e.org", "éhttp://e.org", "a_www.e.org", "9www.e.org", "FTP://e.org", "a@b.org",
    "a\\@b.org", "xmpp:a@b.org", "(a.b-c@d.org)", "日本www.e.org", "mailto:a@b.org", "a+@b.org", "x@y@z.org", "https://a@b.org",
]  # fmt: skip


@pytest.mark.parametrize("label", LINKS, ids=ascii)
def test_no_address_in_a_label_becomes_a_link(label: str) -> None:
    """The rules of GitHub's autolinks, which know no border of a word; a mail address they look for last of all."""
    text = str(markdown(label))
    assert not re.search(r"(?i)(https?|ftp)://|www\.", text)
    last = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
    assert not re.search(r"[\w.+-]@[\w-]+\.", last)
    shown = MarkdownIt().render(text).removeprefix("<p>").removesuffix("</p>\n").replace("<!-- -->", "")
    assert html.unescape(shown) == label


@pytest.mark.parametrize(
    "label", ["1. x", "12) x", ">quote", ">@<img src=//e.org>", "+", "- x", "    code", "\t code", "   1. x"]
)
def test_a_label_that_begins_an_item_makes_no_block(label: str) -> None:
    shown = MarkdownIt().render(f"- {markdown(label)} is taken for x")
    assert re.fullmatch(r"<ul>\n<li>[^<>]*(<!-- -->)?[^<>]*</li>\n</ul>\n", shown), shown
    assert " ".join(label.split()) in " ".join(html.unescape(shown).replace("<!-- -->", "").replace("\\t", "").split())


@pytest.mark.parametrize("text", ["cnn_bn_dropout", "p < .001", "+1.9 to −2 %", "n =\xa0359", "Bäume, 3 % (2)"])
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert markdown(text) == text


def test_the_template_escapes_what_it_is_given() -> None:
    import jinja2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2, "FileSystemLoader", lambda _: jinja2.DictLoader({"a.md.j2": "|{{ label }}|{{ n }}|"}))
        assert page.render("a.md.j2", {"label": "a|<b>", "n": 3}) == "|a\\|\\<b>|3|"


@pytest.mark.parametrize("label", ["$$", "$a_{b$", "$\\mathdefault{x}$", "$\\undefined$", "a$b"])
def test_a_figure_draws_a_label_as_it_is(tmp_path: Path, label: str) -> None:
    with figures.drawing(tmp_path) as drawn:
        canvas = drawn.canvas(4, 3)
        axes = canvas.subplots()
        axes.plot([1, 1000], [1, 2], label=label)
        axes.set_yticks([1, 2], [label, label])
        axes.set_title(label)
        axes.legend()
        svg = drawn.add("f", canvas, label).svg
    assert svg.count(f">{label}</text>") == 4


def test_the_page_shows_signs_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    import jinja2

    template = jinja2.DictLoader({"a.html.j2": "{{ label }}|{{ label | code }}|{{ n }}"})
    monkeypatch.setattr(jinja2, "FileSystemLoader", lambda _: template)
    assert page.render("a.html.j2", {"label": "\u202ea<\x1b\n\u200d", "n": None}) == (
        "\\u202ea&lt;\\x1b\n\u200d|\\u202ea&lt;\\x1b\n\u200d|None"
    )


def test_a_label_stays_in_its_row_of_a_latex_table() -> None:
    table = page._latex_table(page.PaperTable("t", ["Label", "n"], [["a\n\nb\u202e", 1]], "c"))
    assert "a\\textbackslash{}n\\textbackslash{}nb\\textbackslash{}u202e & 1 \\\\" in table
