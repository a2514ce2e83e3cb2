"""What of params.yaml DVC makes paths, names and stages of, before any stage of ours runs.

So it is checked twice: by `core.params`, and by DVC itself where `cells/guard.py` is installed, which copies this file.
That is why it imports nothing of ours: it must not run the code of a clone that somebody only looks at.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

PARAMS = "params.yaml"
MAX_BYTES, MAX_NODES, MAX_DEPTH = 200_000, 200_000, 60  # the largest study here: 9 KB, depth 9
MAX_CELLS, MAX_BITS = 10_000, 63  # DVC makes two stages of each cell; programs count up to there
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")  # of a variant: part of a path, of a stage's name, of a column
TITLE = re.compile(r"\w(?:[\w .()+-]{0,98}[\w)+-])?")  # of a study: a folder of MLflow, the title of a page
_SCHEME = re.compile(r"[A-Za-z][\w+.-]+:|.*://")  # https://, but also s3:bucket and remote:name
PATHS = (("ingest", "path"), ("report", "published"), ("report", "leak"))  # of params.yaml that stand in dvc.yaml


class RefusedError(ValueError):
    """params.yaml cannot be used; the message is a sentence for the user."""


def parse(data: bytes, path: str = PARAMS) -> dict[str, Any]:
    """The mapping in params.yaml, as DVC reads it (YAML 1.2).

    Raises:
        RefusedError: it is no YAML, no mapping, or so large or deep that reading it would take all memory.
    """
    from ruamel.yaml import YAML

    if len(data) > MAX_BYTES:
        raise RefusedError(f"{path} has {len(data):,} bytes, more than {MAX_BYTES:,}; params.yaml holds settings alone")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(f"{path} is not UTF-8 text; save it as UTF-8 in your editor") from None
    if "\0" in text:
        raise RefusedError(f"{path} is not valid YAML: it has a zero byte; bring it back with `git checkout {path}`")
    if directives := [number for number, line in enumerate(data.splitlines(), 1) if line.startswith(b"%")]:
        words = (
            "begins with %, so YAML takes it for a directive; delete the line"  # ruamel.yaml stops at an unknown one
        )
        raise RefusedError(f"{path}: line {directives[0]} {words}")
    try:
        constructor, _ = YAML(typ="safe", pure=True).get_constructor_parser(text)
        document = constructor.composer.get_single_node()
        _measure(document, path)
        raw = constructor.construct_document(document) if document is not None else None
    except RefusedError:
        raise
    except RecursionError:
        raise RefusedError(f"{path} is nested too deep; {MAX_DEPTH} levels are the most") from None
    except Exception as error:  # noqa: BLE001 - ruamel.yaml lets its own slips through: ValueError, TypeError, KeyError ...
        slip = isinstance(error, LookupError | TypeError | AttributeError)
        why = f"the parser stopped with {type(error).__name__}" if slip else " ".join(str(error).split())[:300]
        raise RefusedError(f"{path} is not valid YAML: {why}") from None
    if not isinstance(raw, dict):
        raise RefusedError(f"{path} must be a mapping of keys")
    return raw


def check(raw: dict[str, Any], path: str = PARAMS) -> None:
    """Check the names and numbers that DVC makes names of stages, folders and columns of.

    Raises:
        RefusedError: a name, number, seed or path is missing or of the wrong kind.
    """
    for key in ("study", "lr", "seeds", "variants"):
        if key not in raw:
            raise RefusedError(f"{path}: the key `{key}` is missing")
    _check_numbers(raw, "", path)
    study, lr = raw["study"], raw["lr"]
    if not isinstance(study, str) or not TITLE.fullmatch(study):
        raise RefusedError(
            f"{path}: `study` is {shown(study)}; it is a name: up to 100 letters, digits, spaces and . _ ( ) + -, "
            "beginning with a letter or digit"
        )
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not lr > 0 or not lr < math.inf:
        raise RefusedError(f"{path}: `lr` is {shown(lr)}; it must be a number above 0")
    _check_seeds(raw["seeds"], path)
    _check_variants(raw["variants"], path)
    if (cells := len(raw["seeds"]) * len(raw["variants"])) > MAX_CELLS:
        raise RefusedError(f"{path}: `variants` and `seeds` make {cells:,} cells; {MAX_CELLS:,} are the most")


def check_paths(raw: dict[str, Any], path: str = PARAMS) -> None:
    """Check the paths that stand in dvc.yaml, and that DVC can read all values.

    Raises:
        RefusedError: a path is missing, no text, or an address; or a value is a set, a date or bytes.
    """
    for section, key in PATHS:
        if section not in raw:
            raise RefusedError(f"{path}: the key `{section}` is missing")
        _check_path(raw[section], section, key, path)
    _check_kinds(raw, "", path)


def _check_seeds(seeds: Any, path: str) -> None:
    if not isinstance(seeds, list) or not seeds or not all(type(s) is int and 0 <= s < 2**63 for s in seeds):
        raise RefusedError(f"{path}: `seeds` must be a list of whole numbers from 0 up, with at least one entry")
    if len(set(seeds)) < len(seeds):
        twice = min(seed for seed, times in Counter(seeds).items() if times > 1)
        raise RefusedError(f"{path}: `seeds` names {twice} twice; a seed counts once")


def _check_numbers(value: Any, key: str, path: str) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_numbers(name, key, path)
            _check_numbers(inner, f"{key}.{name}" if key else str(name), path)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner, key, path)
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise RefusedError(
            f"{path}: `{shown(key)[1:-1]}` has a number of {value.bit_length():,} bits, which is too large; "
            f"{MAX_BITS} are the most"
        )


def _check_kinds(value: Any, key: str, path: str) -> None:
    """DVC ends in an error of its own at a set, a date or bytes."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_kinds(inner, f"{key}.{name}".lstrip("."), path)
    elif isinstance(value, list):
        for inner in value:
            _check_kinds(inner, key, path)
    elif value is not None and not isinstance(value, str | int | float):
        raise RefusedError(
            f"{path}: `{shown(key)[1:-1]}` is a {type(value).__name__}; params.yaml holds text, numbers, true "
            "and false, lists and mappings; put a date in quotes"
        )


def _check_variants(variants: Any, path: str) -> None:
    if not isinstance(variants, dict) or not variants:
        raise RefusedError(f"{path}: `variants` must be a mapping from a name to its settings, with at least one entry")
    for name, settings in variants.items():
        if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > 100:
            raise RefusedError(
                f"{path}: `variants` has {shown(name)}; a variant's name has letters, digits and underscores only, "
                "and begins with a letter or digit"
            )
        if not isinstance(settings, dict):
            raise RefusedError(f"{path}: `variants.{name}` must be a mapping of settings")
    for name, times in Counter(name.casefold() for name in variants).items():
        if times > 1:  # their folders would be one on macOS
            twins = " and ".join(f"`{twin}`" for twin in variants if twin.casefold() == name)
            raise RefusedError(f"{path}: `variants` has {twins}, which differ in case alone; rename one")


def _check_path(section: Any, name: str, key: str, path: str) -> None:
    """A path may lead anywhere on this machine, but DVC would fetch an address (`https://`, `s3://`)."""
    if not isinstance(section, dict):
        raise RefusedError(f"{path}: `{name}` must be a mapping of settings")
    if key not in section:
        raise RefusedError(f"{path}: the key `{name}.{key}` is missing")
    value = section[key]
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(
            f"{path}: `{name}.{key}` is {shown(value)}; it must be a path in words, in quotes if need be"
        )
    if _SCHEME.match(value) or not value.isprintable():
        raise RefusedError(
            f"{path}: `{name}.{key}` is {shown(value)}, which is no path; name a file or folder on this machine, with "
            "`./` before a name that has a colon"
        )


def _measure(top: Any, path: str) -> None:
    """Refuse what aliases blow up (`*a` repeats a part, in parts of parts) and what is nested too deep."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: Any, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise RefusedError(f"{path} is nested too deep; {MAX_DEPTH} levels are the most")
        if id(node) in open_:
            raise RefusedError(f"{path}: an alias (`*name`) stands within what it repeats")
        if id(node) not in sizes:
            open_.add(id(node))
            inner = node.value if node is not None and not isinstance(node.value, str) else []
            parts = [part for entry in inner for part in (entry if isinstance(entry, tuple) else (entry,))]
            sizes[id(node)] = 1 + sum(size(part, depth + 1) for part in parts)
            open_.discard(id(node))
        return sizes[id(node)]

    if size(top, 0) > MAX_NODES:
        raise RefusedError(f"{path}: its aliases (`*name`) stand for more than {MAX_NODES:,} values; write them out")


def shown(value: Any) -> str:
    """A value as it may stand in a sentence on a terminal."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
