"""Pretrained weights: found on this machine, or fetched, or an error that says what to fetch; never anything else."""

from __future__ import annotations

import pickle
import urllib.error
import urllib.request
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
_PROBE_SECONDS = 10.0
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
    if published.hub:
        import huggingface_hub

        cached = huggingface_hub.try_to_load_from_cache(published.hub, published.file)
        if isinstance(cached, str):
            return Path(cached)
    if not published.hub and not published.url:
        raise UserError(
            f"params.yaml: no ImageNet weights are published for `{published.name}`; set `weights:` to a file"
        )
    return _fetch(published)


def _fetch(published: Published) -> Path:
    import huggingface_hub

    url = huggingface_hub.hf_hub_url(published.hub, published.file) if published.hub else str(published.url)
    place = FOLDER / f"{published.name}{Path(published.file).suffix}"
    try:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")  # noqa: TRY301 - said below, with the other reasons
        # The hub's client tries for half a minute before it gives up; one request tells at once whether there is a way.
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - https, from the library's own table
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):  # noqa: S310
            pass
        if published.hub:
            return Path(huggingface_hub.hf_hub_download(published.hub, published.file))
        import torch.hub

        with files.atomic(place) as partial:
            digest = torch.hub.HASH_REGEX.search(
                published.file
            )  # torch's convention: name-<first digits of sha256>.pth
            torch.hub.download_url_to_file(url, str(partial), digest.group(1) if digest else None)
    except (OSError, RuntimeError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise UserError(
            f"the ImageNet weights of `{published.name}` are not on this machine and cannot be fetched ({reason}). "
            f"Fetch `{published.file}` from {published.page} and put it at `{place}`; or set the variant's "
            f"`weights:` to a file that you have, or to `none` to train from scratch"
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
            parameter that is missing, too much, or of another shape.
    """
    given = _read(path)
    wanted = features.state_dict()
    if any(key not in wanted for key in given) and any(key.startswith("features.") for key in given):
        own = {key.removeprefix("features."): value for key, value in given.items() if key.startswith("features.")}
        given = own if set(own) & set(wanted) else given
    given = adapt(given)
    for key, tensor in wanted.items():
        if key not in given:
            if key.endswith("num_batches_tracked"):  # old files have none, and nothing reads it
                given[key] = tensor
                continue
            _refuse(path, f"it has no `{key}`")
        if given[key].shape != tensor.shape:
            _refuse(path, f"`{key}` is {tuple(given[key].shape)} in it and {tuple(tensor.shape)} in the network")
    for key in given:
        if key not in wanted and not any(part in _CLASSIFIERS for part in key.split(".")):
            _refuse(path, f"the network has no `{key}`")
    features.load_state_dict({key: given[key] for key in wanted})


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


def _refuse(path: Path, difference: str) -> None:
    raise UserError(f"{path} holds the weights of another network: {difference}")
