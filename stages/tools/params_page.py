"""docs/params.md: every key of params.yaml, from the models that check it (`python -m stages.tools.params_page`).

What a key does is said where it is defined: behind its line, or in the docstring of its section, or else in the
repository's params.yaml.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from stages.cells.check import MODELS
from stages.core import errors, files
from stages.core.params import FILE, Section
from stages.ingest.params import SOURCES
from stages.train.params import Cell
from stages.train.presets import AUGMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/params.md"
_PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
_BOUNDS = {"ge": "≥ {:g}", "gt": "> {:g}", "le": "≤ {:g}", "lt": "< {:g}"}
_KIND = "chooses this kind"  # of a key with a single value: `name: mlp`, `source: folder`
_TOP = """\
# The keys of params.yaml

`python -m stages.tools.params_page` writes this page from the models that check params.yaml. An unknown key is an
error, and so is a value of another type. A key without a default must be there.

| key | type | what it is |
|---|---|---|
| `study` | text | the title of the report, and the experiment of MLflow |
| `lr` | number > 0 | learning rate of every variant that names none of its own |
| `seeds` | list of whole numbers | each variant is trained once for each seed |
| `variants` | mapping | the name of each variant, and its settings that differ from `train`; `model` is needed |
| `ingest` ... `report` | mapping | the sections below |
"""


def main() -> None:
    """Write the page."""
    files.write_text(PAGE, page())


def page() -> str:
    """docs/params.md."""
    parts = [_TOP, "## ingest\n\nThe keys depend on `source`.\n"]
    seen: set[type[BaseModel]] = set()
    for name, source in SOURCES.items():
        parts += _tables(source, "ingest", seen, f"source: {name}")
    for name, model in MODELS.items():
        if name == "evaluate":
            parts.append(
                "## train, `variants.<name>`\n\nA variant may set any of these keys. The others come from `train`.\n"
            )
            parts += _tables(Cell, "train", seen)
            parts.append(f"Presets of `augment`: {', '.join(f'`{preset}`' for preset in AUGMENT)}.\n")
        parts.append(f"## {name}\n")
        parts += _tables(model, name, seen)
    return "\n".join(parts)


def _tables(model: type[BaseModel], place: str, seen: set[type[BaseModel]], note: str = "") -> Iterator[str]:
    """The table of a section, then those of the sections in it, each once."""
    if model in seen:
        return
    seen.add(model)
    lines = _lines(model)
    title = f"### `{place}`" + (f", {note}" if note else "")
    said = inspect.getdoc(model) or ""
    rows = ["| key | type | default | what it is |", "|---|---|---|---|"]
    for key, field in model.model_fields.items():
        text = _KIND if _is_tag(field) else lines.get(key) or _from_file(f"{place}.{key}")
        rows.append(f"| `{key}` | {_cell(_kind(field))} | {_cell(_default(field))} | {_cell(text)} |")
    yield "\n".join([title, "", " ".join(said.partition("\n\n")[0].split()), "", *rows, ""])
    for key, field in model.model_fields.items():
        for inner in _sections(field.annotation):
            named = _tag(inner)
            yield from _tables(inner, f"{place}.{key}", seen, f"name: {named}" if named else "")


def _lines(model: type[BaseModel]) -> dict[str, str]:
    """Key -> what the code says of it: the comment behind its line, or its entry in the docstring."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not (issubclass(base, Section) and base is not Section):
            continue
        _, _, attributes = (inspect.getdoc(base) or "").partition("Attributes:\n")
        for entry in re.finditer(r"^    (\w+): (.+(?:\n {8,}.+)*)", attributes, re.M):
            found[entry[1]] = " ".join(entry[2].split()).removesuffix(".")
        for line in textwrap.dedent(inspect.getsource(base)).splitlines():
            if match := re.match(r"    (\w+): [^#]*  # (?!noqa|type:)(.+)", line):
                found[match[1]] = match[2].strip()
    return found


def _from_file(key: str) -> str:
    """The comment behind a key of the repository's params.yaml."""
    path: list[str] = []
    for line in (ROOT / FILE).read_text(encoding="utf-8").splitlines():
        match = re.match(r"( *)([\w]+):[^#]*(?:# (.+))?$", line)
        if match:
            path = [*path[: len(match[1]) // 2], match[2]]
            if ".".join(path) == key:
                return match[3] or ""
    return ""


def _kind(field: FieldInfo) -> str:
    words, bounds = _words(field.annotation), _bounds(field.metadata)
    null = " or null" if words.endswith(" or null") else ""  # limits hold for what stands before it
    return f"{words.removesuffix(null)}{bounds}{null}"


def _words(kind: Any) -> str:
    """A type, as a reader of params.yaml needs it."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in inside))
    if origin in (list, dict):
        return f"list of: {_words(inside[0])}" if origin is list else "mapping"
    if hasattr(kind, "__metadata__"):
        return _words(inside[0]) + _bounds(kind.__metadata__)
    named = _tag(kind)
    return f"`{{name: {named}, ...}}`" if named else "section"


def _bounds(metadata: Any) -> str:
    """Limits of a number, or of the number of entries of a list."""
    parts = [part for one in metadata for part in getattr(one, "metadata", None) or [one]]
    found = [
        text.format(getattr(part, name))
        for part in parts
        for name, text in _BOUNDS.items()
        if getattr(part, name, None) is not None
    ]
    least, most = (
        max((getattr(part, name) for part in parts if getattr(part, name, None) is not None), default=None)
        for name in ("min_length", "max_length")
    )
    entries = f" ({'exactly' if least == most else 'at least'} {least})" if least is not None else ""
    return (f" {' and '.join(dict.fromkeys(found))}" if found else "") + entries


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be there"
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or isinstance(value, bool):
        return {None: "`null`", True: "`true`", False: "`false`"}[value]
    return f"`{value}`".replace("'", "")


def _sections(kind: Any) -> Iterator[type[BaseModel]]:
    """The sections that a value of this type may be, or hold."""
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        yield kind
    else:
        for inner in get_args(kind):
            yield from _sections(inner)


def _is_tag(field: FieldInfo) -> bool:
    """Whether a key has a single value, which tells its section from others in its place."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _tag(model: type[BaseModel]) -> str:
    """The `name` by which a section is told from others in its place; an empty text where there is none."""
    field = model.model_fields.get("name")
    values = get_args(field.annotation) if field is not None else ()
    return str(values[0]) if len(values) == 1 else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    errors.run(main)
