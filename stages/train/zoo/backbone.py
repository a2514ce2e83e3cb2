"""Networks of the field by their names in timm or torchvision, without their classifiers."""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from stages.core.errors import UserError
from stages.core.params import nearest
from stages.train.zoo import freezing, layers, weights
from stages.train.zoo.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stages.train.zoo.params import Backbone

_TORCHVISION = "torchvision/"
_TORCHVISION_FAMILIES = ("alexnet", "vgg", "resnet", "resnext", "wide_resnet", "mobilenet", "efficientnet")


@dataclass(frozen=True)
class Preprocessing:
    """x = (pixel * scale - mean) / std, for each channel of an RGB picture with pixels 0..255.

    With `bgr`, the channels are reversed afterwards; `mean` and `std` stay in the order R, G, B.
    """

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


# As Keras' `preprocess_input(mode=...)` names them; caffe is for weights that came from Caffe (VGG16 of Keras).
_MODES = {
    "torch": Preprocessing(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "tf": Preprocessing(1 / 127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "caffe": Preprocessing(1.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), bgr=True),
}


class _Features(NamedTuple):
    module: nn.Module  # (N, 3, size, size) -> feature map, or (N, C) with the architecture's own pooling
    chain: bool  # a plain sequence of layers
    cam: str | None  # name of the module that gives the last feature map, where `module` itself does not


def backbone(model: Backbone, num_classes: int, size: int, seed: int) -> Network:
    """See `zoo.build`."""
    _check_preset(model)
    found = find(model)  # first, so that an error about a missing file comes at once
    with layers.initialisation(seed, 0):
        made = _torchvision(model) if model.architecture.startswith(_TORCHVISION) else _timm(model, size)
    if found:
        _load(found.path, made.module)
    shape, cam = _shapes(model, made, size)
    if model.head.pooling == "own":
        pool: nn.Module = nn.Identity()
        inputs = shape[0]
    else:
        if len(shape) != 3:
            raise UserError(
                f"params.yaml: `{model.architecture}` gives {shape}, no feature map", "use `pooling: own` in its `head`"
            )
        pool = layers.POOLINGS[model.head.pooling]()
        inputs = shape[0] * shape[1] * shape[2] if model.head.pooling == "flatten" else shape[0]
    with layers.initialisation(seed, 1):
        head = layers.dense(model.head, inputs, num_classes)
        layers.initialise(head, model.head.initialisation)
    network = Network(made.module, pool, head, cam)
    network.set_trainable(model.trainable)
    return network


def preprocessing(model: Backbone) -> Preprocessing:
    """The preprocessing of the pictures that the weights were trained on, or the one that `preprocessing:` names.

    Raises:
        UserError: the architecture is unknown.
    """
    if model.preprocessing != "own":
        return _MODES[model.preprocessing]
    if model.architecture.startswith(_TORCHVISION):
        transforms = _torchvision_weights(model.architecture).transforms()
        mean, std = transforms.mean, transforms.std
    else:
        config = _timm_config(model.architecture)
        mean, std = config.mean, config.std
    return Preprocessing(1 / 255, tuple(mean), tuple(std))


def _check_preset(model: Backbone) -> None:
    if isinstance(model.trainable, str) and model.trainable in freezing.ARCHITECTURE:
        expected = freezing.ARCHITECTURE[model.trainable]
        if model.architecture.removeprefix(_TORCHVISION).partition(".")[0] != expected:
            raise UserError(
                f"params.yaml: `trainable: {model.trainable}` names layers of `{expected}`, "
                f"but `architecture` is `{model.architecture}`"
            )


def _timm(model: Backbone, size: int) -> _Features:
    import timm

    config = _timm_config(model.architecture)
    net: Any
    options: dict[str, Any] = {} if model.head.pooling == "own" else {"global_pool": ""}
    if config.fixed_input_size and tuple(config.input_size[1:]) != (size, size):
        options["img_size"] = size
    if model.architecture.startswith("vgg") and model.head.pooling != "own":
        options["mlp_ratio"] = 1 / 4096  # spares the 100 million weights of a classifier that is thrown away below
    try:
        net = timm.create_model(model.architecture, num_classes=0, **options)
    except (TypeError, AssertionError, ValueError) as error:
        raise UserError(f"params.yaml: `{model.architecture}` cannot be built for {size} px: {error}") from None
    if model.head.pooling == "own":
        return _Features(net, chain=False, cam=net.feature_info[-1]["module"] if hasattr(net, "feature_info") else None)
    if isinstance(getattr(net, "features", None), nn.Sequential):
        return _Features(net.features, chain=model.architecture.startswith("vgg"), cam=None)
    return _Features(net, chain=False, cam=None)


def _timm_config(architecture: str) -> Any:  # timm's PretrainedCfg
    import timm

    name = architecture.partition(".")[0]
    if not timm.is_model(name):
        raise _unknown(architecture, timm.list_models(), "timm")
    try:
        return timm.get_pretrained_cfg(architecture, allow_unregistered=False)
    except RuntimeError:
        tags = ", ".join(timm.list_pretrained(f"{name}.*")) or "none"
        raise UserError(f"params.yaml: `architecture: {architecture}`: the tags of `{name}` are {tags}") from None


def _torchvision(model: Backbone) -> _Features:
    import torchvision

    if model.head.pooling == "own":
        raise UserError(
            "params.yaml: `pooling: own` is for the networks of timm; torchvision's are pooled by `average`"
        )
    name = model.architecture.removeprefix(_TORCHVISION).partition(".")[0]
    _torchvision_weights(model.architecture)
    net = torchvision.models.get_model(name, weights=None)
    if isinstance(getattr(net, "features", None), nn.Sequential):
        return _Features(net.features, chain=name.startswith(("vgg", "alexnet")), cam=None)
    children = [(key, child) for key, child in net.named_children() if key not in ("avgpool", "fc")]
    return _Features(nn.Sequential(OrderedDict(children)), chain=False, cam=None)


def _torchvision_weights(architecture: str) -> Any:  # torchvision's WeightsEnum
    import torchvision

    name, _, tag = architecture.removeprefix(_TORCHVISION).partition(".")
    known = [
        n for n in torchvision.models.list_models(module=torchvision.models) if n.startswith(_TORCHVISION_FAMILIES)
    ]
    if name not in known:
        raise _unknown(architecture, [_TORCHVISION + n for n in known], "torchvision (timm has more)")
    published = torchvision.models.get_model_weights(name)
    if tag and tag not in published.__members__:
        raise UserError(f"params.yaml: `architecture: {architecture}`: the tags are {', '.join(published.__members__)}")
    return published[tag] if tag else published.DEFAULT


def _unknown(architecture: str, known: Iterable[str], library: str) -> UserError:
    return UserError(
        f"params.yaml: `architecture: {architecture}` is not in {library}{nearest(architecture, known, 3)}"
    )


def find(model: Backbone) -> weights.Found | None:
    """The file of weights that a backbone starts from.

    Raises:
        UserError: it is not here and cannot be fetched.
    """
    if model.weights == "none":
        return None
    return weights.imagenet(published(model)) if model.weights == "imagenet" else weights.named(Path(model.weights))


def _load(path: Path, features: nn.Module) -> None:
    # By timm's convention, each of its modules holds the renaming of its own published weights.
    rename = getattr(sys.modules[type(features).__module__], "checkpoint_filter_fn", None)
    weights.load(features, path, lambda state: rename(state, features) if rename else state)


def published(model: Backbone) -> weights.Published:
    """Where the ImageNet weights of the architecture are published."""
    if model.architecture.startswith(_TORCHVISION):
        chosen = _torchvision_weights(model.architecture)
        name = model.architecture.removeprefix(_TORCHVISION).partition(".")[0]
        return weights.Published(f"{name}.{chosen.name}", None, chosen.url)
    config = _timm_config(model.architecture)
    name = model.architecture.partition(".")[0]
    return weights.Published(f"{name}.{config.tag}" if config.tag else name, config.hf_hub_id, config.url)


def _shapes(model: Backbone, made: _Features, size: int) -> tuple[tuple[int, ...], nn.Module | None]:
    """Shape of one picture's features, and the layer for Grad-CAM; on the meta device, so that nothing is computed."""
    module = made.module
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    meta = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    cam = module if made.cam is None else module.get_submodule(made.cam)
    seen: list[torch.Tensor] = []
    hook = cam.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    module.eval()
    try:
        out = torch.func.functional_call(module, meta, (torch.zeros(1, 3, size, size, device="meta"),))
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"params.yaml: `{model.architecture}` takes no pictures of {size} px: {error}") from None
    finally:
        hook.remove()
    module.train()
    shape = tuple(out.shape[1:])
    grid = getattr(module, "output_fmt", "NCHW") == "NHWC"
    if grid and len(shape) == 3:
        shape = (shape[0] * shape[1], shape[2])  # tokens on a grid, as Swin gives them
    spatial = seen[0].ndim == 4 and not grid
    if made.chain:
        cam = [m for m in module.modules() if isinstance(m, nn.Conv2d)][-1]
    return shape, cam if spatial else None
