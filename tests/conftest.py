"""Pictures are decoded in worker processes, forked from one that has loaded what they need."""

from collections.abc import Iterator

import pytest

from stages.clean import isolate

DECODERS = ["stages.clean.pictures", "stages.predict.pictures", "stages.curate.pictures", "studies.new.pictures"]


@pytest.fixture(autouse=True, scope="session")
def _decoders_are_loaded_once() -> Iterator[None]:
    """A command has one kind of decoder, tests have all: the server loads them, or each worker would, in each test."""
    load = isolate._FORK.set_forkserver_preload
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            isolate._FORK, "set_forkserver_preload", lambda needed: load([*dict.fromkeys([*needed, *DECODERS])])
        )
        yield
