"""What a backbone with published weights says of each picture, before any head: no label of the study is in it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from stages.core.console import progress
from stages.core.errors import UserError
from stages.train import checkpoint, feed, machine, normalise, pixels, store, zoo
from stages.train.params import Cell
from stages.train.sections import Adam
from stages.train.zoo.params import Backbone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from stages.aggregate.params import Audit


def cell(settings: Audit) -> Cell:
    """The settings of a frozen cell on the CPU, one thread: the same bytes on every processor (decision 0007)."""
    return Cell(
        model=Backbone(name="backbone", architecture=settings.architecture),
        size=settings.size,
        epochs=1,  # what follows is needed and has no effect: nothing is trained
        batch=1,
        lr=1.0,
        optimizer=Adam(name="adam"),
        checkpoint="last",
        device="cpu",
        threads=1,
        instruction_set="portable",
        channels_last=True,
    )


def weights(settings: Audit) -> dict[str, str] | None:
    """The file of weights: its name, SHA-256 and source.

    Raises:
        UserError: the architecture is unknown, or its weights are not here and cannot be fetched.
    """
    with _errors_name_the_audit(settings):
        return zoo.pretrained(cell(settings).model)


@contextlib.contextmanager
def _errors_name_the_audit(settings: Audit) -> Iterator[None]:
    """Errors of a backbone name the keys of a variant; the audit has its own key, and none for weights or a head."""
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{error.fault}. This is about `aggregate.audit.architecture: {settings.architecture}`: name another "
            "network there, or set `aggregate.audit.folds: 0`, for no audit"
        ) from None


def features(paths: Sequence[Path], settings: Audit) -> NDArray[np.float32]:
    """The pooled features of pictures, computed once and kept in `.cache/features`.

    Args:
        paths: of the pictures.
        settings: the backbone and the side of a picture.

    Returns:
        float32 (images, channels), in the order of `paths`.

    Raises:
        UserError: a picture is missing or damaged, or the backbone cannot be built.
    """
    frozen = cell(settings)
    device = machine.prepare(frozen)
    known = pixels.key(paths, frozen.size, frozen.resize)
    key = {
        "weights": weights(settings),
        "model": frozen.model.model_dump(),
        "pixels": known,
        "machine": machine.describe(frozen, device),
        "code": [checkpoint.code(), store.content([Path(__file__)])],
    }

    def build(target: Path) -> None:
        images = pixels.load(paths, frozen.size, frozen.resize, known)
        with _errors_name_the_audit(settings):
            np.save(target, _computed(images, frozen, device))

    return store.array("features", key, build)


@torch.no_grad()
def _computed(images: NDArray[np.uint8], frozen: Cell, device: torch.device) -> NDArray[np.float32]:
    """Images uint8 (n, size, size, 3) to features float32 (n, channels), in groups of one size."""
    given = feed.Images(images, np.arange(len(images)))
    network = machine.place(zoo.build(frozen.model, 2, frozen.size, 0), frozen, device).eval()
    normaliser = normalise.fit(frozen, given)  # the backbone's own: nothing is fitted
    body = torch.nn.Sequential(network.features, network.pool)
    parts = []
    chunks = list(feed.chunks(len(given), frozen))
    for chunk in progress(chunks, desc="audit"):
        x = feed.whole(given[chunk], normaliser, device).to(memory_format=torch.channels_last)
        parts.append(feed.in_groups(body, x, feed.group(frozen)).flatten(1).numpy())
    return np.concatenate(parts)
