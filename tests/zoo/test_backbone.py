"""Backbones: heads, preprocessing, what is trained, what stays frozen, where the network is cut."""

from typing import Any

import pytest
import torch
from torch import nn

from stages.core.errors import UserError
from stages.train import zoo
from stages.train.zoo.params import LastLayers, NamedLayers

VGG_HEAD = {"widths": [256, 128]}


def draw(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)  # dropout draws from the global generator
    out: torch.Tensor = network(x)
    return out


@pytest.mark.parametrize(
    ("trainable", "parameters", "cut"),
    [("E4", 34_186, (2, 256)), ("E5", 165_514, (2, 512)), ("E6", 4_885_130, (2, 512, 2, 2)), ("P4", 11_964_554, None)],
)
def test_vgg_is_cut_inside_at_the_freeze_boundary(backbone: Any, trainable: str, parameters: int, cut: Any) -> None:
    network = zoo.build(backbone("vgg16", trainable=trainable, head=VGG_HEAD), 10, 32, 0)
    assert zoo.counts(network) == (14_714_688 + 165_514, parameters)
    prefix, rest = network.split_frozen()
    assert prefix is not None
    x = torch.randn(2, 3, 32, 32)
    kept = prefix(x)
    assert cut is None or kept.shape == cut
    assert torch.equal(rest(kept.clone()), network(x))
    # The cut is the last one: the first layer of the rest with weights is trained.
    assert next(p for p in rest.parameters()).requires_grad
    assert not any(p.requires_grad for p in prefix.parameters())


@pytest.mark.parametrize(
    ("architecture", "trainable"),
    [
        ("resnet18", "head"),
        ("resnet18", LastLayers(last=3)),
        ("mobilenetv3_small_100", LastLayers(last=3)),
        ("torchvision/resnet18", LastLayers(last=3)),
        pytest.param("legacy_xception", "head", marks=pytest.mark.slow),
        pytest.param("legacy_xception", LastLayers(last=3), marks=pytest.mark.slow),
    ],
)
def test_cut_equals_live_in_training(backbone: Any, architecture: str, trainable: Any) -> None:
    head = {"widths": [8], "batch_norm": "after_activation", "dropout": 0.5}
    network = zoo.build(backbone(architecture, trainable=trainable, head=head), 3, 48, 0)
    prefix, rest = network.split_frozen()
    assert prefix is not None
    x = torch.randn(3, 3, 48, 48)
    network.train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    live = draw(network, x)
    torch.autograd.backward(live.sum())
    gradients = [p.grad.clone() for g in network.groups().values() for p in g if p.grad is not None]
    network.load_state_dict(before)  # batch norm of the head has moved
    network.zero_grad()
    cached = draw(rest.train(), prefix(x).detach())
    torch.autograd.backward(cached.sum())
    assert torch.equal(live, cached)
    assert gradients
    again = [p.grad for g in network.groups().values() for p in g if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))


@pytest.mark.parametrize(
    ("preset", "architecture", "parameters", "crossing"),
    [
        ("B2", "vgg16", 2_359_808, 512),  # block5_conv3
        ("B4", "resnetv2_50", 1_048_576, 2048),  # the block of conv5_block3_3_conv runs whole, for its residual
        pytest.param("B6", "legacy_xception", 7_654_840, 728, marks=pytest.mark.slow),
        pytest.param("B8", "inception_v3", 2_792_896, 192, marks=pytest.mark.slow),
    ],
)
def test_presets_of_the_studies(backbone: Any, preset: str, architecture: str, parameters: int, crossing: int) -> None:
    network = zoo.build(backbone(architecture, trainable=preset), 3, 80, 0)
    assert sum(p.numel() for p in network.groups()["features"]) == parameters
    prefix, rest = network.split_frozen()
    assert prefix is not None
    x = torch.randn(2, 3, 80, 80)
    kept = prefix(x)
    assert kept.shape[1] == crossing
    assert torch.equal(rest.train()(kept), network.train()(x))


def test_nothing_frozen_nothing_cut(backbone: Any, model: Any) -> None:
    for settings in (
        backbone("resnet18", trainable="all"),
        model({"name": "mlp", "widths": [8]}),
        model({"name": "random"}),
    ):
        network = zoo.build(settings, 3, 32, 0)
        prefix, rest = network.split_frozen()
        assert prefix is None
        assert rest is network


def test_frozen_batch_norm_keeps_its_statistics(backbone: Any) -> None:
    network = zoo.build(backbone("resnet18", trainable=NamedLayers(names=["features.layer4", "head"])), 3, 32, 0)
    norms = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    network.train()(torch.randn(4, 3, 32, 32))
    moved = {k for k, v in network.state_dict().items() if "running" in k and not torch.equal(v, norms[k])}
    assert moved
    assert all(k.startswith("features.layer4") for k in moved)
    network.eval().train()
    assert not network.get_submodule("features.bn1").training
    assert network.get_submodule("features.layer4.0.bn1").training


def test_dropout_in_front_of_the_trained_part_is_off(model: Any) -> None:
    settings = {
        "name": "cnn",
        "layers": ["conv", "activation", "dropout", "pool"],
        "blocks": [{"filters": [4], "dropout": 0.5}, {"filters": [4], "dropout": 0.5}],
    }
    network = zoo.build(model(settings), 3, 16, 0)
    network.set_trainable(NamedLayers(names=["features.4", "head"]))
    assert [m.training for m in network.features.modules() if isinstance(m, nn.Dropout)] == [False, True]
    prefix, rest = network.split_frozen()
    x = torch.randn(2, 3, 16, 16)
    assert prefix is not None
    assert torch.equal(draw(network, x), draw(rest, prefix(x)))


def test_two_phases(backbone: Any) -> None:
    network = zoo.build(backbone("vgg11", trainable="head"), 3, 32, 0)
    assert {k: len(v) for k, v in network.groups().items()} == {"features": 0, "head": 2}
    network.set_trainable("all")
    assert {k: len(v) for k, v in network.groups().items()} == {"features": 16, "head": 2}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (NamedLayers(names=["features.layer5"]), r"layer5.*did you mean .*layer4"),
        (LastLayers(last=99), r"99.*21 layers"),
    ],
)
def test_what_is_not_there_cannot_be_trained(backbone: Any, spec: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        zoo.build(backbone("resnet18", trainable=spec), 3, 32, 0)


def test_a_preset_belongs_to_its_architecture(backbone: Any) -> None:
    with pytest.raises(UserError, match=r"B2.*vgg16.*resnet18"):
        zoo.build(backbone("resnet18", trainable="B2"), 3, 32, 0)


@pytest.mark.parametrize(
    ("architecture", "size", "pooling", "shown"),
    [
        ("vgg11", 32, "average", nn.Conv2d),
        ("resnet18", 64, "flatten", nn.Module),
        ("efficientnet_b0", 64, "average", nn.Module),
        ("convnext_femto", 64, "max", nn.Module),
        ("mobilenetv3_small_100", 64, "own", nn.Module),
        ("vit_tiny_patch16_224", 64, "own", None),
        ("torchvision/mobilenet_v3_small", 64, "average", nn.Module),
    ],
)
def test_architectures(backbone: Any, architecture: str, size: int, pooling: str, shown: Any) -> None:
    network = zoo.build(backbone(architecture, head={"pooling": pooling}), 5, size, 0)
    maps: list[torch.Tensor] = []
    layer = network.cam_layer()
    if shown is None:
        assert layer is None
    else:
        assert isinstance(layer, shown)
        layer.register_forward_hook(lambda _m, _i, out: maps.append(out))
    assert network(torch.randn(2, 3, size, size)).shape == (2, 5)
    assert all(out.ndim == 4 and len(out) == 2 for out in maps)
    assert len(maps) == (shown is not None)


@pytest.mark.parametrize(
    ("settings", "size", "said"),
    [
        ({"architecture": "resnet1"}, 32, r"resnet1.*did you mean `resnet18`"),
        ({"architecture": "torchvision/vit_b_16"}, 32, r"not in torchvision"),
        ({"architecture": "resnet18.nobody"}, 32, r"tags of `resnet18` are.*a1_in1k"),
        ({"architecture": "vit_tiny_patch16_224"}, 64, r"pooling: own"),
        ({"architecture": "inception_v3"}, 32, r"inception_v3.*32 px"),
    ],
)
def test_what_cannot_be_built_is_said(backbone: Any, settings: dict[str, str], size: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        zoo.build(backbone(**settings), 3, size, 0)


def test_preprocessing(backbone: Any, model: Any) -> None:
    own = zoo.preprocessing(backbone("vgg16"))
    assert own is not None
    assert (own.scale, own.mean, own.std) == (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (
        own
        == zoo.preprocessing(backbone("torchvision/vgg16"))
        == zoo.preprocessing(backbone("vgg16", preprocessing="torch"))
    )
    xception, keras = (zoo.preprocessing(backbone("legacy_xception", preprocessing=p)) for p in ("own", "tf"))
    assert xception is not None
    assert keras is not None
    for pixel in (0, 128, 255):  # the same numbers, written in two ways
        assert (pixel * keras.scale - keras.mean[0]) / keras.std[0] == pytest.approx(
            (pixel * xception.scale - xception.mean[0]) / xception.std[0]
        )
    caffe = zoo.preprocessing(backbone("vgg16", preprocessing="caffe"))
    assert caffe is not None
    assert caffe.bgr
    assert zoo.preprocessing(model({"name": "mlp"})) is None


def test_the_head_does_not_depend_on_the_weights_of_the_features(backbone: Any) -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one = zoo.build(backbone("resnet18"), 3, 32, 7)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = zoo.build(backbone("torchvision/resnet18"), 3, 32, 7)
    assert torch.equal(*(next(n.head.parameters()) for n in (one, other)))
    again = zoo.build(backbone("resnet18"), 3, 32, 7)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
