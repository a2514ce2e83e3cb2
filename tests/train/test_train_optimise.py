"""The optimisers and schedules are torch's, without the two seconds that its classes cost."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from stages.core.errors import UserError
from stages.train import losses, sections
from stages.train.augment import Mixed
from stages.train.optimise import LossScale, Optimiser, Rates
from tests.train import made

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCES: list[tuple[dict[str, Any], Callable[[Any], torch.optim.Optimizer]]] = [
    ({"name": "sgd"}, torch.optim.SGD),
    (
        {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, momentum=0.9, nesterov=True, weight_decay=0.01),
    ),
    ({"name": "adam", "weight_decay": 0.01}, lambda p: torch.optim.Adam(p, weight_decay=0.01, fused=True)),
    ({"name": "adamw"}, lambda p: torch.optim.AdamW(p, fused=True)),
    ({"name": "rmsprop"}, lambda p: torch.optim.RMSprop(p, alpha=0.9, eps=1e-8)),
    ({"name": "rmsprop", "momentum": 0.5}, lambda p: torch.optim.RMSprop(p, alpha=0.9, eps=1e-8, momentum=0.5)),
]
SCHEDULES: list[tuple[dict[str, Any], Callable[[Any], Any], int]] = [
    ({"name": "step", "every": 2, "factor": 0.3}, lambda o: lr_scheduler.StepLR(o, 2, 0.3), 1),
    ({"name": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, 60), 10),
    ({"name": "cosine", "final": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, 60, eta_min=0.1), 10),
    ({"name": "onecycle"}, lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=60), 10),
]


@pytest.mark.parametrize(("settings", "reference"), REFERENCES)
@pytest.mark.filterwarnings("ignore")
def test_steps_are_those_of_torch(settings: dict[str, Any], reference: Callable[[Any], torch.optim.Optimizer]) -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 2)), nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 2))
    theirs.load_state_dict(ours.state_dict())
    cell = made.settings(optimizer=settings)
    optimiser = Optimiser(cell.optimizer, [list(ours[0].parameters()), list(ours[1].parameters())])
    expected = reference(
        [{"params": theirs[0].parameters(), "lr": 0.01}, {"params": theirs[1].parameters(), "lr": 0.1}]
    )
    for _ in range(5):
        x = torch.randn(4, 7)
        for network in (ours, theirs):
            network.zero_grad()
            network(x).square().sum().backward()
        optimiser.step([0.01, 0.1])
        expected.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("settings", "reference", "steps"), SCHEDULES)
@pytest.mark.filterwarnings("ignore")
def test_rates_are_those_of_torch(settings: dict[str, Any], reference: Callable[[Any], Any], steps: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = reference(optimizer)
    rates = Rates(made.settings(schedule=settings).schedule, 6, steps)
    for i in range(6 * steps):
        assert math.isclose(rates.factor(i // steps, i % steps), optimizer.param_groups[0]["lr"], abs_tol=1e-9), i
        optimizer.step()
        schedule.step()


@pytest.mark.filterwarnings("ignore")
def test_plateau_is_that_of_torch() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=1 / 3, patience=2)
    rates = Rates(sections.Plateau(name="plateau", factor=1 / 3, patience=2), 20, 1)
    for i, loss in enumerate([3, 2, 2, 2, 2, 2, 1, 1.5, 1.2, 1.1, 1.0, 0.99999, 0.9, 1, 1, 1, 1, 1, 1]):
        schedule.step(loss)
        rates.after_epoch(loss)
        assert math.isclose(rates.factor(i + 1, 0), optimizer.param_groups[0]["lr"])


def test_warm_up_rises_to_the_rate() -> None:
    rates = Rates(sections.Cosine(name="cosine", warmup=2), 10, 5)
    factors = [rates.factor(i // 5, i % 5) for i in range(50)]
    assert factors[:10] == sorted(factors[:10])
    assert 0 < factors[0] < 0.1
    assert factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_float16_gradients_are_scaled_and_overflows_left_out() -> None:
    scale, p = LossScale(torch.float16), nn.Parameter(torch.zeros(3))
    p.grad = torch.full((3,), 2.0**16)
    assert scale.usable([[p]])
    assert p.grad.tolist() == [1.0] * 3
    p.grad[1] = math.inf
    before = scale.factor
    assert not scale.usable([[p]])
    assert scale.factor == before / 2
    assert LossScale(torch.bfloat16).factor == LossScale(None).factor == 1.0


def test_loss_of_mixed_images_is_the_loss_of_mixed_labels() -> None:
    logits, labels, others = torch.randn(6, 4), torch.randint(4, (6,)), torch.randint(4, (6,))
    share = torch.rand(6)
    one_hot = nn.functional.one_hot
    target = share[:, None] * one_hot(labels, 4) + (1 - share[:, None]) * one_hot(others, 4)
    loss = losses.cross_entropy(logits, labels, Mixed(others, share), None, 0.1)
    torch.testing.assert_close(loss, nn.functional.cross_entropy(logits, target, label_smoothing=0.1))


def test_balanced_class_weights_are_those_of_scikit_learn() -> None:
    import numpy as np
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 5 + [1] * 2 + [2] * 9)
    weights = losses.class_weights(sections.Loss(class_weights="balanced"), labels, ["a", "b", "c"])
    assert weights is not None
    np.testing.assert_allclose(weights.numpy(), compute_class_weight("balanced", classes=np.arange(3), y=labels), 1e-6)
    with pytest.raises(UserError, match="no training image of class d"):
        losses.class_weights(sections.Loss(class_weights="balanced"), labels, ["a", "b", "c", "d"])


def test_a_cell_loads_no_compiler() -> None:
    """torch._dynamo costs two seconds of every process, and nothing here compiles."""
    program = """
import sys, tempfile, os
from pathlib import Path
from tests.train import made
from stages.train.run import run
os.chdir(tempfile.mkdtemp())
made.make(Path.cwd())
run(made.settings(made.CNN, epochs=1, clip_norm=1.0), "v", 0)
print(sorted({"torch._dynamo", "torchvision", "timm", "pandas", "sklearn", "matplotlib", "mlflow"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=made.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
