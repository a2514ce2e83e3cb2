"""Weights: the file that fits is loaded, any other is refused, nothing is made up without a network."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from stages.core.errors import UserError
from stages.train import zoo
from stages.train.zoo import weights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def offline(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A port nobody listens on, as a proxy that is down.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # The hub's client tries again for half a minute before it gives up; here it is told that there is no network.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return here


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """A whole network of the library, classifier and all, as its publishers save it."""
    torch.manual_seed(3)
    state: dict[str, torch.Tensor] = timm.create_model("resnet18").state_dict()
    return state


def save(state: dict[str, Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("architecture", ["resnet18", "torchvision/resnet18"])
def test_a_file_is_loaded(here: Path, backbone: Any, published: Any, name: str, architecture: str) -> None:
    save(published, here / name)
    network = zoo.build(backbone(architecture, weights=name), 3, 32, 0)
    loaded = network.features.state_dict()
    assert len(loaded) == len(published) - 2  # all but the classifier
    assert all(torch.equal(loaded[k], published[k]) for k in loaded)


@pytest.mark.usefixtures("here")
def test_a_model_of_this_pipeline_is_loaded(backbone: Any) -> None:
    for architecture in ("resnet18", "vgg11"):
        trained = zoo.build(backbone(architecture), 7, 32, 1)
        save(trained.state_dict(), Path("model.safetensors"))
        network = zoo.build(backbone(architecture, weights="model.safetensors"), 3, 32, 0)
        assert all(torch.equal(v, trained.state_dict()[k]) for k, v in network.state_dict().items() if k[:4] == "feat")


def test_a_wrong_file_is_refused(here: Path, backbone: Any, published: dict[str, torch.Tensor]) -> None:
    def refused(state: dict[str, Any], said: str) -> None:
        with pytest.raises(UserError, match=said):
            zoo.build(backbone("resnet18", weights=str(save(state, here / "w.pth"))), 3, 32, 0)

    refused(
        timm.create_model("resnet50").state_dict(),
        r"mismatch for layer1.0.conv1.weight: .*\[64, 64, 1, 1\].*\[64, 64, 3, 3\]",
    )
    refused(timm.create_model("resnet34").state_dict(), r"the network has no `layer1.2.conv1.weight`")
    refused({k: v for k, v in published.items() if k != "layer3.1.bn2.bias"}, r"it has no `layer3.1.bn2.bias`")
    refused({"epoch": 3}, r"no mapping from parameter names to tensors")


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("run",))


def test_a_file_that_is_no_weights_is_refused(here: Path, backbone: Any, capsys: Any) -> None:
    def refused(said: str, name: str) -> None:
        with pytest.raises(UserError, match=said):
            zoo.build(backbone("resnet18", weights=name), 3, 32, 0)

    save({"a": Evil()}, here / "evil.pth")
    refused("not a file of weights alone", "evil.pth")
    assert "run" not in capsys.readouterr().out
    for suffix in ("pth", "safetensors"):
        (here / f"cut.{suffix}").write_bytes(b"\x80\x02 half a file")
        refused("not a file of weights alone", f"cut.{suffix}")
    refused("is not here", "absent.pth")
    refused("none of imagenet, none", "imagenette")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_imagenet_is_looked_for_here_first(offline: Path, backbone: Any, published: Any, suffix: str) -> None:
    save(published, offline / f".cache/weights/resnet18.a1_in1k{suffix}")
    network = zoo.build(backbone("resnet18", weights="imagenet"), 3, 32, 0)
    assert torch.equal(network.state_dict()["features.conv1.weight"], published["conv1.weight"])


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("architecture", "file", "page", "place"),
    [
        ("vgg16", "model.safetensors", "https://huggingface.co/timm/vgg16.tv_in1k", "vgg16.tv_in1k.safetensors"),
        ("legacy_xception", "xception-43020ad28.pth", "https://github.com/", "legacy_xception.tf_in1k.pth"),
        ("torchvision/vgg16", "vgg16-397923af.pth", "https://download.pytorch.org/", "vgg16.IMAGENET1K_V1.pth"),
    ],
)
def test_without_a_network_it_says_what_to_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backbone: Any, architecture: str, file: str, page: str, place: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as error:
        zoo.build(backbone(architecture, weights="imagenet"), 3, 64, 0)
    for part in (f"`{file}` from {page}", f".cache/weights/{place}", "`none` to train from scratch"):
        assert part in str(error.value)
    assert not weights.FOLDER.exists() or not list(weights.FOLDER.iterdir())


def test_a_transformer_s_positions_are_resized(here: Path, backbone: Any) -> None:
    state = timm.create_model("vit_tiny_patch16_224").state_dict()
    save(state, here / "vit.safetensors")
    settings = backbone("vit_tiny_patch16_224", weights="vit.safetensors", head={"pooling": "own"})
    loaded = zoo.build(settings, 3, 64, 0).features.state_dict()
    assert loaded["pos_embed"].shape == (1, 1 + 4 * 4, 192)
    assert torch.equal(loaded["pos_embed"][:, 0], state["pos_embed"][:, 0])
    assert torch.equal(loaded["blocks.3.mlp.fc1.weight"], state["blocks.3.mlp.fc1.weight"])
