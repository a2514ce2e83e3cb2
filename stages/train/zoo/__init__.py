"""The networks: a multi-layer perceptron, plain CNNs, pretrained backbones, and the class prior as a floor.

torch is imported by the functions, not here: `zoo.params` must be readable without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.train.zoo.backbone import Preprocessing
    from stages.train.zoo.network import Network
    from stages.train.zoo.params import Model


def build(model: Model, num_classes: int, size: int, seed: int, class_prior: Sequence[float] | None = None) -> Network:
    """Build and initialise a network on the CPU; the global random state is left as it was.

    Args:
        model: the section `model:` of a variant.
        num_classes: number of logits.
        size: height and width of the pictures, px.
        seed: the cell's seed; features and head are initialised by generators of their own.
        class_prior: for `random`: the frequency of each class in the training images (default: all equal).

    Returns:
        A module from float32 (N, 3, size, size), normalised, to logits (N, num_classes).

    Raises:
        UserError: the pictures are too small, the architecture is unknown, or its weights cannot be had.
    """
    from stages.train.zoo import plain

    if model.name == "random":
        return plain.random(num_classes, class_prior)
    if model.name == "mlp":
        return plain.mlp(model, num_classes, size, seed)
    if model.name == "cnn":
        return plain.cnn(model, num_classes, size, seed)
    from stages.train.zoo import backbone

    return backbone.backbone(model, num_classes, size, seed)


def preprocessing(model: Model) -> Preprocessing | None:
    """The preprocessing of a backbone; None for other networks.

    Raises:
        UserError: the architecture is unknown.
    """
    if model.name != "backbone":
        return None
    from stages.train.zoo import backbone

    return backbone.preprocessing(model)


def pretrained(model: Model) -> dict[str, str] | None:
    """The file of weights that a backbone starts from: its name, SHA-256 and source; None where there is none.

    Raises:
        UserError: the file is not here and cannot be fetched.
    """
    if model.name != "backbone":
        return None
    from stages.train.zoo import backbone

    found = backbone.find(model)
    return found.describe() if found else None


def counts(network: Network) -> tuple[int, int]:
    """Number of parameters: all, and those that are trained. Running statistics of batch norm are not parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trainable in sizes if trainable)
