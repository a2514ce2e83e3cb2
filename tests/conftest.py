"""Every process of `pytest -n 2` computes with one thread; workers that decode have what they need from the start."""

import gc
import sys
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from stages.clean import isolate

DECODERS = ["stages.clean.pictures", "stages.predict.pictures", "stages.curate.pictures", "studies.new.pictures"]

gc.disable()  # what is imported stays to the end; looking through it again and again takes seconds


def pytest_collection_finish() -> None:
    """Threads beyond one for each process wait for each other; by now the libraries that start some are loaded."""
    threadpool_limits(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _decoders_are_loaded_once() -> Iterator[None]:
    """A command has one kind of decoder, tests have all: the server loads them, or each worker would, in each test."""
    load = isolate._FORK.set_forkserver_preload
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            isolate._FORK, "set_forkserver_preload", lambda needed: load([*dict.fromkeys([*needed, *DECODERS])])
        )
        yield
