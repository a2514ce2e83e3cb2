"""A fresh folder with the tiny study of the tests of train in it."""

from tests.train.conftest import study

__all__ = ["study"]
