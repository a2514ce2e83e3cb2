"""The only reader of params.yaml.

Each stage describes its own section as a pydantic model in `stages/<name>/params.py` and asks for it with `section`.
The file is parsed as DVC parses it (YAML 1.2), so that `1e-3` is a number for both.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FILE = "params.yaml"
SECTIONS = ("ingest", "clean", "split", "train", "evaluate", "aggregate", "report")
TOP_LEVEL = ("study", "root", "lr", "seeds", "variants", *SECTIONS)
_Model = TypeVar("_Model", bound=BaseModel)
_VARIANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")


class Section(BaseModel):
    """A part of params.yaml: unknown keys are refused, types are not coerced, values cannot be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class Study:
    """The top level of params.yaml: names, learning rate, seeds and variants; sections as plain mappings."""

    name: str
    lr: float
    seeds: list[int]
    variants: dict[str, dict[str, Any]]
    raw: dict[str, Any]

    @property
    def cells(self) -> list[tuple[str, int]]:
        """Every (variant, seed), in the order of params.yaml."""
        return [(variant, seed) for variant in self.variants for seed in self.seeds]


def read(path: str | Path = FILE) -> Study:
    """Read and check the top level of params.yaml.

    Raises:
        UserError: the file is missing or not YAML, or a top-level key is missing, unknown or of the wrong kind.
    """
    raw = _parse(Path(path))
    for key in raw:
        if key not in TOP_LEVEL:
            raise UserError(f"{path}: unknown key `{key}`{_nearest(str(key), TOP_LEVEL)}")
    for key in TOP_LEVEL:
        if key not in raw:
            raise UserError(f"{path}: the key `{key}` is missing")
    lr, seeds, variants = raw["lr"], raw["seeds"], raw["variants"]
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not lr > 0:
        raise UserError(f"{path}: `lr` is {lr!r}; it must be a number above 0")
    _check_seeds(seeds, path)
    if not isinstance(variants, dict) or not variants:
        raise UserError(f"{path}: `variants` must be a mapping from a name to its settings, with at least one entry")
    for name, settings in variants.items():
        if not isinstance(name, str) or not _VARIANT_NAME.fullmatch(name):
            raise UserError(f"{path}: `variants.{name}`: a variant's name has letters, digits and underscores only")
        if not isinstance(settings, dict):
            raise UserError(f"{path}: `variants.{name}` must be a mapping of settings")
    return Study(name=str(raw["study"]), lr=float(lr), seeds=list(seeds), variants=variants, raw=raw)


def section(model: type[_Model], values: Any, where: str | Callable[[str], str]) -> _Model:
    """Validate `values`, found at the dotted key `where` of params.yaml, as `model`.

    Values that were merged from several places give a function from a first-level key to the place that it stands in.

    Raises:
        UserError: names the first wrong key, and the nearest valid one where it is unknown.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{FILE}: " + "; ".join(_explain(model, e, values, where) for e in error.errors())) from None


def _check_seeds(seeds: Any, path: str | Path) -> None:
    if not isinstance(seeds, list) or not seeds or not all(type(s) is int and s >= 0 for s in seeds):
        raise UserError(f"{path}: `seeds` must be a list of whole numbers from 0 up, with at least one entry")
    twice = sorted({s for s in seeds if seeds.count(s) > 1})
    if twice:
        raise UserError(f"{path}: `seeds` names {twice[0]} twice; a seed counts once")


def _parse(path: Path) -> dict[str, Any]:
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not here; run from the folder of a study (the one with dvc.yaml)") from None
    except YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} must be a mapping of keys")
    return raw


def _explain(model: type[BaseModel], error: Any, values: Any, where: str | Callable[[str], str]) -> str:
    path = _keys(error["loc"], values, missing=error["type"] == "missing")
    place = where if isinstance(where, str) else where(path[0] if path else "")
    key = ".".join([place, *path])
    if error["type"] == "extra_forbidden":
        valid = _field_names(model)
        if path[-1] in valid:
            return f"the key `{key}` has no effect here: it belongs to another section or another `name`"
        return f"unknown key `{key}`{_nearest(path[-1], sorted(valid))}"
    if error["type"] == "missing":
        return f"the key `{key}` is missing"
    return f"`{key}` is {error.get('input')!r}: {error['msg']}"


def _keys(location: Sequence[int | str], values: Any, *, missing: bool) -> list[str]:
    """The path of an error as it stands in the file: pydantic puts the tag of a union into it, which is no key."""
    path = []
    for depth, part in enumerate(location):
        inside = isinstance(values, list) if isinstance(part, int) else isinstance(values, dict) and part in values
        if inside:
            values = values[part]
        if inside or (missing and depth == len(location) - 1):
            path.append(str(part))
    return path


def _field_names(model: type[BaseModel]) -> set[str]:
    """Every key that may stand somewhere in a section."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}


def _nearest(name: str, valid: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else ""
