"""What stages read of params.yaml.

Each stage describes its own section as a pydantic model in `stages/<name>/params.py` and asks for it with `section`.
The file is parsed as DVC parses it (YAML 1.2), so that `1e-3` is a number for both.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stages.core import rendered
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FILE = "params.yaml"
SECTIONS = ("ingest", "clean", "split", "train", "evaluate", "aggregate", "report")
TOP_LEVEL = ("study", "lr", "seeds", "variants", *SECTIONS)
_Model = TypeVar("_Model", bound=BaseModel)


class Section(BaseModel):
    """A part of params.yaml: unknown keys are refused, types are not coerced, values cannot be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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

    @property
    def by_name(self) -> dict[str, tuple[str, int]]:
        """`<variant>-<seed>`, the name of a cell in DVC -> (variant, seed)."""
        return {f"{variant}-{seed}": (variant, seed) for variant, seed in self.cells}


def read(path: str | Path = FILE) -> Study:
    """Read and check the top level of params.yaml.

    Raises:
        UserError: the file is missing or not YAML, or a top-level key is missing, unknown or of the wrong kind.
    """
    try:
        with Path(path).open("rb") as file:
            return parse(file.read(rendered.MAX_BYTES + 1), str(path))
    except FileNotFoundError:
        raise UserError(f"{path} is not here; run from the folder of a study (the one with dvc.yaml)") from None


def parse(data: bytes, path: str = FILE) -> Study:
    """As `read`, for the bytes of a params.yaml; errors name it `path`."""
    try:
        raw = rendered.parse(data, path)
        for key in raw:
            if key not in TOP_LEVEL:
                raise UserError(f"{path}: unknown key `{key}`{nearest(str(key), TOP_LEVEL)}")
        for key in TOP_LEVEL:
            if key not in raw:
                raise UserError(f"{path}: the key `{key}` is missing")
        for key in SECTIONS:
            if raw[key] is not None and not isinstance(raw[key], dict):
                raise UserError(f"{path}: `{key}` must be a mapping of settings")
        rendered.check(raw, path)
    except rendered.RefusedError as error:
        raise UserError(str(error)) from None
    return Study(raw["study"], float(raw["lr"]), list(raw["seeds"]), raw["variants"], raw)


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


def _explain(model: type[BaseModel], error: Any, values: Any, where: str | Callable[[str], str]) -> str:
    path = _keys(error["loc"], values, missing=error["type"] == "missing")
    place = where if isinstance(where, str) else where(path[0] if path else "")
    key = ".".join([place, *path])
    if error["type"] == "extra_forbidden":
        valid = _field_names(model)
        if path[-1] in valid:
            return f"the key `{key}` has no effect here: it belongs to another section or another `name`"
        return f"unknown key `{key}`{nearest(path[-1], valid)}"
    if error["type"] == "missing":
        return f"the key `{key}` is missing"
    return f"`{key}` is {rendered.shown(error.get('input'))}: {error['msg']}"


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


def nearest(name: str, valid: Iterable[str], most: int = 1) -> str:
    """The end of a sentence about an unknown name: up to `most` valid names that are similar."""
    close = difflib.get_close_matches(name, sorted(valid), n=most, cutoff=0.5)
    return f"; did you mean {' or '.join(f'`{one}`' for one in close)}?" if close else ""
