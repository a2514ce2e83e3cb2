"""Plain networks: exact sizes, order of layers, initialisation."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from stages.core.errors import UserError
from stages.train import zoo

E2_BLOCKS: list[dict[str, Any]] = [
    {"filters": f, "padding": ["same", "valid"]} for f in ([32, 64], [128, 256], [512, 1024])
]
E2 = {"name": "cnn", "blocks": E2_BLOCKS, "head": {"pooling": "flatten", "widths": [1024, 512, 256]}}
E3 = {
    "name": "cnn",
    "layers": ["conv", "activation", "pool", "dropout", "batch_norm"],
    "blocks": [block | {"dropout": d} for block, d in zip(E2_BLOCKS, (0.3, 0.3, 0.5), strict=True)],
    "head": {"pooling": "flatten", "widths": [1024, 512, 256], "dropout": 0.5},
}
U16 = {
    "name": "cnn",
    "layers": ["conv", "activation", "dropout", "pool"],
    "blocks": [{"filters": [128], "kernel": 2, "dropout": 0.3}] * 5,
    "initialisation": "glorot_uniform",
}


def children(module: nn.Module) -> list[nn.Module]:
    return list(module.children())


@pytest.mark.parametrize(
    ("settings", "classes", "size", "parameters"),
    [
        ({"name": "mlp", "widths": [128, 128]}, 10, 32, 411_146),
        ({"name": "mlp", "widths": [256, 128]}, 10, 32, 820_874),
        (E2, 10, 32, 11_142_218),
        (E3, 10, 32, 11_144_906),
        (U16, 256, 128, 297_344),
        ({"name": "random"}, 10, 32, 0),
    ],
)
def test_counts_are_the_published_ones(
    model: Any, settings: dict[str, Any], classes: int, size: int, parameters: int
) -> None:
    network = zoo.build(model(settings), classes, size, 0)
    assert zoo.counts(network) == (parameters, parameters)
    assert network(torch.zeros(2, 3, size, size)).shape == (2, classes)


def test_layers_stand_in_the_order_written(model: Any) -> None:
    network = zoo.build(model(E3), 10, 32, 0)
    assert [type(m) for m in children(network.features)[:7]] == [
        nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Dropout, nn.BatchNorm2d,
    ]  # fmt: skip
    assert [type(m) for m in children(network.head)[-2:]] == [nn.Dropout, nn.Linear]
    keras = zoo.build(model(U16), 256, 128, 0)
    assert [type(m) for m in children(keras.features)[:5]] == [
        nn.ZeroPad2d,
        nn.Conv2d,
        nn.ReLU,
        nn.Dropout,
        nn.MaxPool2d,
    ]


def test_initialisation_is_the_seed_s_alone(model: Any) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = zoo.build(model(E2), 10, 32, 0).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = zoo.build(model(E2), 10, 32, 0).state_dict(), zoo.build(model(E2), 10, 32, 1).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not any(torch.equal(first[k], other[k]) for k in first)


def test_glorot_bound(model: Any) -> None:
    network = zoo.build(model(U16), 256, 128, 0)
    convolution = children(network.features)[1]
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    bound = (6 / (4 * 3 + 4 * 128)) ** 0.5
    assert 0.9 * bound < convolution.weight.abs().max().item() <= bound
    assert convolution.bias.count_nonzero() == 0


def test_even_kernel_pads_like_tensorflow(model: Any) -> None:
    network = zoo.build(model(U16), 256, 64, 0)
    padded = children(network.features)[0](torch.ones(1, 1, 2, 2))
    assert padded[0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_random_gives_the_prior(model: Any) -> None:
    network = zoo.build(model({"name": "random"}), 3, 8, 0, class_prior=[0.5, 0.25, 0.25])
    probabilities = network(torch.rand(4, 3, 8, 8)).softmax(1)
    assert torch.allclose(probabilities, torch.tensor([0.5, 0.25, 0.25]).expand(4, 3))
    absent = zoo.build(model({"name": "random"}), 2, 8, 0, class_prior=[1.0, 0.0])
    assert absent(torch.zeros(1, 3, 8, 8)).isfinite().all()


def test_too_small_picture(model: Any) -> None:
    with pytest.raises(UserError, match=r"blocks.2.*16 px"):
        zoo.build(model(E2), 10, 16, 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "mlp", "widths": [8], "filters": [3]},
        {"name": "mlp", "widths": [8], "dropout": [0.1, 0.2]},
        {"name": "mlp", "batch_norm": "before_activation"},
        {"name": "cnn", "blocks": [{"filters": [8], "dropout": 0.5}]},
        {"name": "cnn", "blocks": [{"filters": [8]}], "layers": ["conv", "activation", "dropout", "pool"]},
        {"name": "cnn", "blocks": [{"filters": [8]}], "layers": ["activation", "conv"]},
        {"name": "cnn", "blocks": [{"filters": [8, 9], "padding": ["same"]}]},
        {"name": "cnn", "blocks": []},
        {"name": "random", "widths": []},
    ],
)
def test_keys_without_effect_are_refused(model: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model(settings)
