"""Which parameters of a network are trained."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from torch import nn

from stages.core.errors import UserError
from stages.core.params import nearest
from stages.train.zoo.params import LastLayers, NamedLayers

if TYPE_CHECKING:
    from stages.train.zoo.params import Trainable

# The exact layer sets of the published studies. B6 and B8 list Keras layers by index; here are the same ones by name.
# Keras' batch norm in InceptionV3 has no scale, so B8 leaves `bn.weight` (all ones in those weights) as it is.
_MIXED_5B = ("branch1x1", "branch5x5_2", "branch3x3dbl_3", "branch_pool")
_MIXED_7B = ("branch3x3dbl_1", "branch3x3_1", "branch3x3dbl_2")
PRESETS: dict[str, LastLayers | NamedLayers] = {
    "B2": NamedLayers(names=["features.28", "head"]),
    "B4": NamedLayers(names=["features.stages.3.blocks.2.conv3", "head"]),
    "B6": NamedLayers(
        names=["features.block11", "features.block12.rep", "features.conv[34]", "features.bn[34]", "head"],
    ),
    "B8": NamedLayers(
        names=[
            f"features.{block}.{branch}.{part}"
            for block, branches in (("Mixed_5b", _MIXED_5B), ("Mixed_7b", _MIXED_7B))
            for branch in branches
            for part in ("conv", "bn.bias")
        ]
        + ["head"],
    ),
    "E4": LastLayers(last=2),
    "E5": LastLayers(last=3),
    "E6": LastLayers(last=5),
    "P4": NamedLayers(names=["features.19", "features.2[1468]", "head"]),
}
ARCHITECTURE = {"B2": "vgg16", "B4": "resnetv2_50", "B6": "legacy_xception", "B8": "inception_v3"} | dict.fromkeys(
    ("E4", "E5", "E6", "P4"), "vgg16"
)
# Layers with weights; normalisation and scale belong to the layer before them.
_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Linear)


def select(network: nn.Module, spec: Trainable) -> set[str]:
    """Names of the parameters that `spec` trains.

    Raises:
        UserError: a name of `spec` matches no parameter, or `spec` asks for more layers than there are.
    """
    names = [name for name, _ in network.named_parameters()]
    if isinstance(spec, str) and spec in PRESETS:
        spec = PRESETS[spec]
    if spec == "all":
        return set(names)
    if spec == "head":
        return {name for name in names if name.startswith("head.")}
    if isinstance(spec, LastLayers):
        return _last(network, spec.last)
    assert isinstance(spec, NamedLayers)  # noqa: S101 - for the type checker: the union has no other member
    chosen: set[str] = set()
    for pattern in spec.names:
        matched = {name for name in names if any(fnmatchcase(part, pattern) for part in _prefixes(name))}
        if not matched:
            every = {part for name in names for part in _prefixes(name)}
            raise UserError(
                f"params.yaml: `trainable.names`: nothing is called `{pattern}`{nearest(pattern, every, 3)}"
            )
        chosen |= matched
    return chosen


def _last(network: nn.Module, count: int) -> set[str]:
    weighted = {name for name, module in network.named_modules() if isinstance(module, _WEIGHTED)}
    layers: list[list[str]] = []
    seen: set[str] = set()
    for name, _ in network.named_parameters():
        owner = name.rpartition(".")[0]
        if owner in weighted and owner not in seen:
            seen.add(owner)
            layers.append([])
        if layers:
            layers[-1].append(name)
    if count > len(layers):
        raise UserError(
            f"params.yaml: `trainable.last` is {count}, but the network has {len(layers)} layers with weights"
        )
    return {name for layer in layers[-count:] for name in layer}


def _prefixes(name: str) -> list[str]:
    """`a.b.c` -> `a`, `a.b`, `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
