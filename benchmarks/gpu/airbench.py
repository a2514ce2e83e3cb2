"""airbench94 as its report describes it (K. Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU"), as a peer.

Written from the report, not from its code: whitening of 2x2 patches, a small VGG with GELU, Dirac initialisation,
Nesterov SGD with faster biases, a triangle of rates, lookahead, flips that alternate, shifts of 2 px, mirrored tests.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

if TYPE_CHECKING:
    from torch import Tensor

BATCH, EPOCHS, MOMENTUM, SHIFT, WHITENED = 1024, 9.9, 0.85, 2, 3  # WHITENED: epochs in which its bias is trained
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
WIDTHS = (64, 256, 256)


@dataclass
class Images:
    """Normalised images (n, 3, 32, 32) and class indices, on the device."""

    x: Tensor
    y: Tensor


def images(pixels: Tensor, labels: Tensor) -> Images:
    """From uint8 (n, 32, 32, 3)."""
    half = torch.float16 if pixels.is_cuda else torch.float32
    x = pixels.permute(0, 3, 1, 2).float().div(255)
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return Images(((x - mean) / std).to(half).contiguous(memory_format=torch.channels_last), labels)


class Group(nn.Module):
    """Convolution, pooling, batch norm, GELU; convolution, batch norm, GELU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4) for _ in range(2))
        for conv in (self.first, self.second):
            nn.init.dirac_(conv.weight[: conv.in_channels])
        for norm in self.norms:
            norm.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, side, side) -> (n, outputs, side // 2, side // 2)."""
        x = F.gelu(self.norms[0](F.max_pool2d(self.first(x), 2)))
        return F.gelu(self.norms[1](self.second(x)))


class Net(nn.Module):
    """Whitening, three groups, pooling, a linear layer scaled by 1/9."""

    def __init__(self, sample: Tensor) -> None:
        """`sample`: training images that the whitening is fitted on."""
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        widths = (24, *WIDTHS)
        self.groups = nn.Sequential(*(Group(a, b) for a, b in itertools.pairwise(widths)))
        self.head = nn.Linear(widths[-1], 10, bias=False)
        patches = F.unfold(sample.float().cpu(), 2).transpose(1, 2).reshape(-1, 12)
        patches = patches - patches.mean(0)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (values + 5e-4).sqrt()).T.flip(0).reshape(12, 3, 2, 2)
        with torch.no_grad():
            self.whiten.bias.zero_()  # type: ignore[union-attr]
            self.whiten.weight.copy_(torch.cat([filters, -filters]))
        self.whiten.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10) of normalised images."""
        x = F.max_pool2d(self.groups(F.gelu(self.whiten(x))), 3)
        logits: Tensor = self.head(x.flatten(1)) / 9
        return logits


def train(training: Images, test: Images, seed: int, epochs: float = EPOCHS, batch: int = BATCH) -> dict[str, Any]:
    """Train once; seconds of training, images/s, and accuracy on the test images with and without their mirrors."""
    torch.manual_seed(seed)
    device = training.x.device
    net = Net(training.x[:5000]).to(device).to(training.x.dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.float()
    # Rates are given per 1,024 images, for a loss that is summed, and decay apart from the rate.
    scale = 1024 * (1 + 1 / (1 - MOMENTUM))
    rate, decay = 11.5 / scale, 0.0153 * batch / scale
    norms = [m.bias for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    known = {id(bias) for bias in norms}
    others = [p for p in net.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": params, "lr": r, "base": r, "weight_decay": decay / r}
        for params, r in ((norms, rate * 64), (others, rate))
    ]
    optimizer = torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)
    steps_per_epoch = len(training.y) // batch
    total = math.ceil(epochs * steps_per_epoch)
    slow = {n: v.detach().clone() for n, v in net.state_dict().items() if v.is_floating_point()}
    mirrored = torch.rand(len(training.y), device=device) < 0.5
    _wait(device)
    begin, step = time.perf_counter(), 0
    for epoch in range(math.ceil(epochs)):
        net.whiten.bias.requires_grad_(epoch < WHITENED)
        x = _moved(training.x, mirrored ^ bool(epoch % 2))
        order = torch.randperm(len(x), device=device)
        for i in range(steps_per_epoch):
            if step == total:
                break
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * _triangle(step / total)
            rows = order[i * batch : (i + 1) * batch]
            loss = F.cross_entropy(net(x[rows]).float(), training.y[rows], label_smoothing=0.2, reduction="sum")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            if step % 5 == 0:
                _look_ahead(net, slow, 0.95**5 * (step / total) ** 3)
    _look_ahead(net, slow, 1.0)
    _wait(device)
    seconds = time.perf_counter() - begin
    right = [float((_predict(net, test.x, mirror=m).argmax(1) == test.y).double().mean()) for m in (False, True)]
    return {
        "seconds": seconds,
        "images_per_second": step * batch / seconds,
        "top1": right[0],
        "top1_mirrored": right[1],
    }


def _triangle(done: float) -> float:
    """From 0.2 up to 1 at 23 % of the steps, down to 0.07."""
    return 0.2 + 0.8 * done / 0.23 if done < 0.23 else 1 - 0.93 * (done - 0.23) / 0.77


@torch.no_grad()
def _look_ahead(net: nn.Module, slow: dict[str, Tensor], share: float) -> None:
    """The slow weights keep `share` of themselves, take the rest from the fast ones, and replace them."""
    for name, value in net.state_dict().items():
        if name in slow:
            slow[name].lerp_(value, 1 - share)
            value.copy_(slow[name])


def _moved(x: Tensor, mirror: Tensor) -> Tensor:
    """Each image mirrored where `mirror` says so, and shifted by up to 2 px with reflected borders."""
    x = torch.where(mirror.view(-1, 1, 1, 1), x.flip(3), x)
    padded = F.pad(x, (SHIFT,) * 4, mode="reflect")
    out = torch.empty_like(x)
    places = torch.randint(2 * SHIFT + 1, (2, len(x)), device=x.device)
    for down in range(2 * SHIFT + 1):
        for right in range(2 * SHIFT + 1):
            here = (places[0] == down) & (places[1] == right)
            out[here] = padded[here, :, down : down + 32, right : right + 32]
    return out


@torch.no_grad()
def _predict(net: nn.Module, x: Tensor, *, mirror: bool) -> Tensor:
    """With `mirror`, the mean over the image, its mirror, and (at half the weight) both shifted by 1 px twice."""
    net.eval()

    def both(part: Tensor) -> Tensor:
        straight, turned = net(part).float(), net(part.flip(3)).float()
        mean: Tensor = (straight + turned) / 2
        return mean

    found = []
    for start in range(0, len(x), 2000):
        part = x[start : start + 2000]
        if not mirror:
            found.append(net(part).float())
            continue
        padded = F.pad(part, (1,) * 4, mode="reflect")
        shifted = (both(padded[:, :, :32, :32]) + both(padded[:, :, 2:, 2:])) / 2
        found.append((both(part) + shifted) / 2)
    net.train()
    return torch.cat(found)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
