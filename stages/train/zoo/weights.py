"""Pretrained weights: found on this machine, or fetched, or an error that says what to fetch; never anything else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stages.core import files
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

FOLDER = Path(".cache/weights")
SUFFIXES = (".safetensors", ".pth")
# What a published file may hold beyond the features: the classifier that the head replaces.
_CLASSIFIERS = ("fc", "head", "classifier", "last_linear", "pre_logits", "aux", "AuxLogits", "num_batches_tracked")


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


def imagenet(published: Published) -> Path:
    """The file with the ImageNet weights: from `.cache/weights`, the hub's own cache, or the network.

    Raises:
        UserError: it is not here and cannot be fetched.
    """
    # A study's own folder first, then the repository's.
    folders = (FOLDER, Path(__file__).parents[3] / FOLDER)
    for path in (folder / f"{published.name}{suffix}" for folder in folders for suffix in SUFFIXES):
        if path.is_file():
            return path
    if not published.hub and not published.url:
        raise UserError(
            f"params.yaml: no ImageNet weights are published for `{published.name}`; set `weights:` to a file"
        )
    return _fetch(published)


def _fetch(published: Published) -> Path:
    place = FOLDER / f"{published.name}{Path(published.file).suffix}"
    try:
        if published.hub:
            import huggingface_hub

            return Path(huggingface_hub.hf_hub_download(published.hub, published.file))  # its own cache comes first
        from torch import hub

        digest = hub.HASH_REGEX.search(published.file)  # torch's convention: name-<first digits of sha256>.pth
        with files.atomic(place) as partial:
            hub.download_url_to_file(published.page, str(partial), digest.group(1) if digest else None)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the ImageNet weights of `{published.name}` are not on this machine and cannot be fetched "
            f"({str(error).splitlines()[0]}). Fetch `{published.file}` from {published.page} and put it at `{place}`; "
            f"or set the variant's `weights:` to a file that you have, or to `none` to train from scratch"
        ) from None
    return place


def load(features: nn.Module, path: Path, adapt: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """Load the weights of `features` from a .safetensors or .pth file (weights only); classifier weights are left out.

    The file may hold the whole published network, or be a `model.safetensors` of this pipeline.

    Args:
        features: the network without its classifier.
        path: the file.
        adapt: the library's own renaming and resizing of published weights.

    Raises:
        UserError: the file is missing, is not a file of weights, or belongs to another network; names the first
            parameter that is of another shape, missing, or too much.
    """
    given, wanted = _read(path), features.state_dict()
    own = {key.removeprefix("features."): value for key, value in given.items() if key.startswith("features.")}
    given = adapt(own if set(own) & set(wanted) and not set(given) <= set(wanted) else given)
    refused = f"{path} holds the weights of another network"
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


def _read(path: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors import SafetensorError
    from timm.models import load_state_dict

    if path.suffix not in (*SUFFIXES, ".pt", ".bin"):
        raise UserError(f"params.yaml: `weights: {path}` is none of imagenet, none, a .safetensors or a .pth file")
    try:
        state = load_state_dict(str(path), weights_only=True)
    except FileNotFoundError:
        raise UserError(f"params.yaml: `weights: {path}` is not here") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a file of weights alone: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"{path} holds no mapping from parameter names to tensors")
    return dict(state)
