"""Settings reach torch's optimisers, the rates are those of torch's schedules, the loss is what it says."""

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
from stages.train import losses, sections, zoo
from stages.train.augment import Mixed
from stages.train.optimise import Optimisation, Rates, optimizer
from tests.train import made

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIMIZERS: list[tuple[dict[str, Any], type[torch.optim.Optimizer], dict[str, Any]]] = [
    ({"name": "sgd"}, torch.optim.SGD, {"momentum": 0, "nesterov": False, "weight_decay": 0, "dampening": 0}),
    (
        {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    (
        {"name": "adam", "weight_decay": 0.02},
        torch.optim.Adam,
        {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.02},
    ),
    ({"name": "adamw", "betas": [0.8, 0.9]}, torch.optim.AdamW, {"betas": (0.8, 0.9), "weight_decay": 0.01}),
    (
        {"name": "rmsprop", "rho": 0.8},
        torch.optim.RMSprop,
        {"alpha": 0.8, "eps": 1e-8, "momentum": 0, "centered": False},
    ),
]
SCHEDULES: list[tuple[dict[str, Any], Callable[[Any], Any], int]] = [
    ({"name": "step", "every": 2, "factor": 0.3}, lambda o: lr_scheduler.StepLR(o, 2, 0.3), 1),
    ({"name": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, 60), 10),
    ({"name": "cosine", "final": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, 60, eta_min=0.1), 10),
    ({"name": "onecycle"}, lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=60), 10),
]


@pytest.mark.parametrize(("settings", "kind", "expected"), OPTIMIZERS)
def test_settings_reach_the_optimiser(
    settings: dict[str, Any], kind: type[torch.optim.Optimizer], expected: dict[str, Any]
) -> None:
    cell = made.settings(optimizer=settings)
    features, head = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    rate = sections.GroupRates(features=0.01, head=0.1)
    built = optimizer(cell.optimizer, {"features": [features], "head": [head]}, rate)
    assert type(built) is kind
    assert [(group["lr"], group["params"]) for group in built.param_groups] == [(0.01, [features]), (0.1, [head])]
    for group in built.param_groups:
        assert {name: group[name] for name in expected} == expected
        assert settings["name"] == "rmsprop" or group["fused"]
    assert len(optimizer(cell.optimizer, {"features": [], "head": [head]}, 0.1).param_groups) == 1


@pytest.mark.parametrize(("settings", "reference", "steps"), SCHEDULES)
@pytest.mark.filterwarnings("ignore")
def test_rates_are_those_of_torch(settings: dict[str, Any], reference: Callable[[Any], Any], steps: int) -> None:
    theirs, ours = (torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0) for _ in range(2))
    schedule = reference(theirs)
    rates = Rates(made.settings(schedule=settings).schedule, ours, 6, steps)
    for i in range(6 * steps):
        rate = rates.before_step(i // steps, i % steps)
        assert rate == ours.param_groups[0]["lr"]
        assert math.isclose(rate, theirs.param_groups[0]["lr"], abs_tol=1e-9), i
        theirs.step()
        schedule.step()


def test_a_plateau_lowers_the_rates_of_all_groups() -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 1.0)]
    rates = Rates(sections.Plateau(name="plateau", factor=0.5, patience=1), torch.optim.SGD(groups), 20, 1)
    found = []
    for epoch, loss in enumerate([3, 2, 2, 2, 2, 2, 1]):
        found.append(rates.before_step(epoch, 0))
        rates.after_epoch(loss)
    assert found == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    assert [group["lr"] for group in rates.optimizer.param_groups] == [0.025, 0.25]


def test_warm_up_rises_to_the_rate() -> None:
    rates = Rates(
        sections.Cosine(name="cosine", warmup=2), torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), 10, 5
    )
    factors = [rates.before_step(i // 5, i % 5) for i in range(50)]
    assert factors[:10] == sorted(factors[:10])
    assert 0 < factors[0] < 0.1
    assert factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_a_float16_step_that_overflows_is_left_out(name: str, clip_norm: float | None) -> None:
    cell = made.settings(optimizer={"name": name})
    network = zoo.build(cell.model, 3, 12, 0)
    phase = cell.schedule_of_phases[0]
    optimisation = Optimisation(cell, network, phase, 4, torch.device("cpu"), torch.float16)
    before, scale = [p.detach().clone() for p in network.parameters()], 2.0**16

    def step(gradient: float) -> bool:
        optimisation.scaler.scale(torch.zeros(1))  # sets the scale, as the loss of a batch does
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimisation.step(clip_norm)
        return all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))

    assert step(math.inf)
    assert optimisation.scaler.get_scale() == scale / 2
    assert not step(scale / 2)
    assert optimisation.scaler.get_scale() == scale / 2


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


@pytest.mark.slow
def test_a_cell_loads_no_library_that_it_does_not_use() -> None:
    """Each costs seconds of every process."""
    program = """
import sys, tempfile, os
from pathlib import Path
from tests.train import made
from stages.train.run import run
os.chdir(tempfile.mkdtemp())
made.make(Path.cwd())
run(made.settings(made.CNN, epochs=1, clip_norm=1.0), "v", 0)
print(sorted({"torchvision", "timm", "pandas", "sklearn", "matplotlib", "mlflow"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=made.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
