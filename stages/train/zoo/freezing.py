"""Freezing: which parameters of a network are trained, and the cut behind the part that is not."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from stages.core.errors import UserError
from stages.core.params import nearest
from stages.train.zoo.params import LastLayers, NamedLayers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.train.zoo.network import Network
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


def is_norm(module: nn.Module) -> bool:
    """Whether a module keeps running statistics (batch norm of torch and of timm)."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - the only common base there is


def is_dropout(module: nn.Module) -> bool:
    """Whether a module draws random numbers in training (dropout, drop path, stochastic depth)."""
    return isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ in {  # noqa: SLF001
        "DropPath", "StochasticDepth", "PatchDropout", "DropBlock2d",
    }  # fmt: skip


class _Tracer(fx.Tracer):
    """Traces down to blocks that can be called whole: a module with parameters of its own, or without children.

    A leaf keeps its own control flow (training or not, shapes), which a trace would have fixed for good.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = next(m.children(), None) is None or bool(list(m.parameters(recurse=False)))
        return leaf or (super().is_leaf_module(m, module_qualified_name) and not isinstance(m, nn.Sequential))


class _Part(nn.Module):
    """A part of a network that puts the whole network, and with it itself, into training or evaluation mode."""

    def __init__(self, part: nn.Module, whole: Network) -> None:
        super().__init__()
        self.part = part
        self._whole = (whole,)  # in a tuple, so that its modules are not registered a second time

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The part's own forward."""
        out: torch.Tensor = self.part(x)
        return out

    def train(self, mode: bool = True) -> _Part:
        """As `Network.train`."""
        self._whole[0].train(mode)
        self.training = mode
        return self


def split(network: Network) -> tuple[nn.Module | None, nn.Module]:
    """See `Network.split_frozen`."""
    mode = network.training
    network.train()  # in training mode it shows which modules are random or collect statistics
    try:
        graph = _Tracer().trace(network)
    except (TypeError, ValueError, RuntimeError, AttributeError, fx.proxy.TraceError):
        # A network whose forward depends on values cannot be traced: cut it between features and head, or not at all.
        body = nn.Sequential(network.features, network.pool)
        whole = not any(_active(module) for module in body.modules())
        parts: tuple[nn.Module | None, nn.Module] = (body, network.head) if whole else (None, network)
    else:
        parts = _cut(network, graph)
    network.train(mode)
    prefix, rest = parts
    if prefix is None or next(prefix.parameters(), None) is None:
        return None, network
    return prefix.eval(), _Part(rest, network).train(mode)


def _active(module: nn.Module) -> bool:
    """Whether the module itself, without its children, is trained, random, or collects statistics."""
    if any(p.requires_grad for p in module.parameters(recurse=False)):
        return True
    return module.training and (is_norm(module) or (is_dropout(module) and getattr(module, "p", 1) != 0))


def _cut(network: Network, graph: fx.Graph) -> tuple[nn.Module | None, nn.Module]:
    nodes = list(graph.nodes)
    modules = dict(network.named_modules())
    position = {node: i for i, node in enumerate(nodes)}
    first = next((i for i, node in enumerate(nodes) if _node_active(node, modules, network)), len(nodes) - 1)
    for i in range(first - 1, 0, -1):
        # The values that are made up to here and used later: a single tensor may cross the cut, not the picture itself.
        crossing = [n for n in nodes[: i + 1] if any(position[user] > i for user in n.users)]
        if crossing == [nodes[i]]:
            return _module(network, nodes[: i + 1], None), _module(network, nodes[i + 1 :], nodes[i])
    return None, network


def _node_active(node: fx.Node, modules: dict[str, nn.Module], network: Network) -> bool:
    if node.op == "call_module":
        return any(_active(module) for module in modules[str(node.target)].modules())
    if node.op == "get_attr":
        value: Any = network
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return isinstance(value, nn.Parameter) and value.requires_grad
    if node.op == "call_function":
        # Functional dropout: its `training` was read while the network was in training mode.
        return "drop" in getattr(node.target, "__name__", "") and node.kwargs.get("training", True) is not False
    return node.op == "output"


def _module(network: Network, nodes: Sequence[fx.Node], entry: fx.Node | None) -> fx.GraphModule:
    """The nodes as a module of their own; `entry` is the node whose value comes in from outside."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    if entry is not None:
        copies[entry] = graph.placeholder("x")
    for node in nodes:
        copies[node] = graph.node_copy(node, lambda old: copies[old])
    if nodes[-1].op != "output":
        graph.output(copies[nodes[-1]])
    return fx.GraphModule(network, graph)
