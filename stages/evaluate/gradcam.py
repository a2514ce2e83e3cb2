"""Grad-CAM (Selvaraju et al., 2017): which part of the picture speaks for a class."""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from stages.core import files, seeding, sprite
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.evaluate.cell import Part, Trained
    from stages.evaluate.params import GradCam
    from stages.train.feed import Images
    from stages.train.zoo.network import Network

FINEST = 14  # numbers along a side of a map that gradcam.json keeps
BATCH = 16


def write(
    trained: Trained,
    network: Network,
    images: Images,
    normalised: Callable[[NDArray[np.uint8]], Tensor],
    settings: GradCam,
    folder: Path,
) -> None:
    """Write gradcam.json and gradcam.jpg, a sprite of overlays, into `folder`; where there is no map, the reason only.

    Two kinds of maps: `surest_right` and `surest_wrong` for the test images that this cell was surest of, by the class
    that it predicted; and `shared` for images that are the same for every cell, by their true class, kept as numbers
    too, so that seeds can be compared.

    Args:
        trained: whose predictions choose the images.
        network: in evaluation mode.
        images: test images.
        normalised: from some of `images` to the input of the network, float32 (N, 3, H, W) on its device.
        settings: how many pictures, how large, and the layers that the user chose.
        folder: where to.
    """
    layer = choose_layer(network, settings.layers.get(trained.variant), trained.variant)
    reason = refuse(network, layer, normalised(images[:1]), settings)
    if reason or layer is None:
        files.write_json(folder / "gradcam.json", {"skipped": reason, "tiles": []})
        return
    chosen = _choose(trained, settings)
    places = np.array([place for place, _, _ in chosen])
    classes = [target for _, target, _ in chosen]
    maps = np.concatenate(
        [
            explain(network, layer, normalised(images[places[start : start + BATCH]]), classes[start : start + BATCH])
            for start in range(0, len(places), BATCH)
        ]
    )
    px = min(settings.px, images.size)
    test = trained.parts["test"]
    tiles: list[dict[str, Any]] = []
    for (place, target, kind), heat in zip(chosen, maps, strict=True):
        tile: dict[str, Any] = {
            "image_id": test.ids[place],
            "label": trained.classes[test.targets[place]],
            "predicted": trained.classes[test.predicted[place]],
            "target": trained.classes[target],
            "kind": kind,
        }
        if kind == "shared":
            tile["map"] = _coarse(heat)
        tiles.append(tile)
    name = next(name for name, module in network.named_modules() if module is layer)
    head = {"skipped": None, "layer": name, "px": px, "columns": sprite.COLUMNS}
    files.write_json(folder / "gradcam.json", head | {"tiles": tiles})
    sprite.write(
        folder / "gradcam.jpg", [_overlay(image, heat, px) for image, heat in zip(images[places], maps, strict=True)]
    )


def choose_layer(network: Network, name: str | None, variant: str) -> torch.nn.Module | None:
    """The module `name`, or the one that the network itself gives; None where it has no feature map.

    Raises:
        UserError: the network has no module of that name.
    """
    if name is None:
        return network.cam_layer()
    modules = dict(network.named_modules())
    if name not in modules:
        near = difflib.get_close_matches(name, list(modules), n=3, cutoff=0.0)
        raise UserError(f"params.yaml: `evaluate.gradcam.layers.{variant}` is {name!r}; nearest: {', '.join(near)}")
    chosen: torch.nn.Module = modules[name]
    return chosen


def refuse(network: torch.nn.Module, layer: torch.nn.Module | None, image: Tensor, settings: GradCam) -> str | None:
    """Why there is nothing to show, in words; None where there is."""
    if not settings.classes and not settings.shared:
        return "`evaluate.gradcam` asks for no picture"
    if layer is None:
        return "the network has no feature map"
    shapes: list[tuple[int, ...]] = []
    handle = layer.register_forward_hook(lambda _module, _input, output: shapes.append(tuple(output.shape)))
    with torch.no_grad():
        network(image)
    handle.remove()
    if len(shapes[0]) != 4:
        return f"the layer gives {len(shapes[0])} dimensions, not a map of images, channels, height and width"
    side = min(shapes[0][-2:])
    if side < settings.coarsest:
        return f"the last feature map is {shapes[0][-2]} x {shapes[0][-1]}: too coarse to say where the network looks"
    return None


def explain(
    network: torch.nn.Module, layer: torch.nn.Module, inputs: Tensor, classes: list[int]
) -> NDArray[np.float32]:
    """Maps between 0 and 1, float32 (N, H, W), for one class an image, from normalised inputs (N, 3, H, W)."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with _graph_behind(network, layer), GradCAM(model=network, target_layers=[layer]) as cam:
        maps = cam(input_tensor=inputs, targets=[ClassifierOutputTarget(index) for index in classes])
    return np.asarray(maps, dtype=np.float32)


@contextlib.contextmanager
def _graph_behind(network: torch.nn.Module, layer: torch.nn.Module) -> Iterator[None]:
    """Gradients reach back to the output of the layer and no further: all that Grad-CAM reads, at half the memory."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]

    def leaf(_module: torch.nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output.detach().requires_grad_().clone()  # a copy: the next module may work in place

    handle = layer.register_forward_hook(leaf)
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        handle.remove()
        for parameter in trained:
            parameter.requires_grad_(True)


def _choose(trained: Trained, settings: GradCam) -> list[tuple[int, int, str]]:
    """(position in the test set, class to explain, kind)."""
    test = trained.parts["test"]
    chosen: list[tuple[int, int, str]] = []
    surest = np.argsort(-np.exp(test.log_p).max(axis=1), kind="stable")
    for index in _largest(test, len(trained.classes), settings.classes):
        inside = surest[test.targets[surest] == index]
        right = test.predicted[inside] == index
        for positions, kind in ((inside[right], "surest_right"), (inside[~right], "surest_wrong")):
            chosen += [(int(p), int(test.predicted[p]), kind) for p in positions[:1]]
    shared = seeding.grid(len(test.ids), settings.shared)
    return chosen + [(int(p), int(test.targets[p]), "shared") for p in shared]


def _largest(part: Part, classes: int, most: int) -> list[int]:
    """All classes, or the `most` with the most images, in class order; the same for every cell."""
    support = np.bincount(part.targets, minlength=classes)
    return sorted(np.argsort(-support, kind="stable")[:most].tolist())


def _coarse(heat: NDArray[np.float32]) -> list[str]:
    """The map at most 14 x 14: a line of text for each row, numbers between 0 and 1 with three decimals."""
    height, width = (min(FINEST, side) for side in heat.shape)
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(heat)[None], (height, width))[0]
    return [" ".join(str(round(float(value), 3)) for value in row) for row in small]


def _overlay(image: NDArray[np.uint8], heat: NDArray[np.float32], px: int) -> NDArray[np.uint8]:
    from pytorch_grad_cam.utils.image import show_cam_on_image

    mixed = show_cam_on_image(image.astype(np.float32) / 255, heat, use_rgb=True)
    return sprite.tile(Image.fromarray(mixed), px)
