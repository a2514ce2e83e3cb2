"""Settings as they stand under `model:` in params.yaml."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from stages.train.zoo.params import Model


@pytest.fixture
def model() -> Any:
    """Validate a mapping as the section `model:`."""
    return TypeAdapter(Model).validate_python


@pytest.fixture
def backbone(model: Any) -> Any:
    """Settings of a backbone with random weights."""

    def make(architecture: str, **more: Any) -> Any:
        return model({"name": "backbone", "architecture": architecture, "weights": "none"} | more)

    return make
