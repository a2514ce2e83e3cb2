"""Cut a network where its frozen part ends, so that the frozen part is computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from stages.train.zoo.network import Network, is_dropout, is_norm

if TYPE_CHECKING:
    from collections.abc import Sequence


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
