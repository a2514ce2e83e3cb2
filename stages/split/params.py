"""The section `split` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.core.errors import UserError
from stages.core.params import Section


class Published(Section):
    """A part that was published with the data: the images whose path in the source begins with this folder."""

    folder: str


class Groups(Section):
    """Whole groups by the names that `ingest` gave them, such as a site that no training picture is from."""

    groups: list[str] = Field(min_length=1)


HeldOut = Published | Groups
Share = Annotated[float, Field(gt=0, lt=1)] | Annotated[int, Field(ge=1)]


class Split(Section):
    """How the kept images are divided.

    Attributes:
        seed: of the split alone; the seeds of the cells touch it only with `per_seed`.
        val: share of the images (below 1), their number (whole), the folder of a published part, or named groups.
        test: the same. Copies that a folder or group has elsewhere are left out of the other parts. `null` with
            `folds`.
        folds: k-fold cross-validation: consecutive splits test one fold each, so that every image is tested once in
            `folds` splits; further seeds divide the images anew.
        train: share of the images or their number; `null`: all that validation and test leave.
        stratify: the same mixture of classes in train, validation and test.
        grouped: no duplicate group stands in two of them. Off only to repeat a study that leaked.
        per_seed: every seed has a split of its own; else all share one.
        seeds_per_split: with `per_seed`: so many consecutive seeds share one split; with 2 or more the report separates
            the variance of the split from that of the seed.
    """

    seed: int = Field(ge=0)
    val: Share | HeldOut
    test: Share | HeldOut | None = None
    folds: int | None = Field(default=None, ge=2)
    train: Share | None = None
    stratify: bool = True
    grouped: bool = True
    per_seed: bool = False
    seeds_per_split: int = Field(default=1, ge=1)

    @property
    def own(self) -> bool:
        """Whether seeds have splits of their own."""
        return self.per_seed or self.folds is not None

    def fold_of(self, number: int) -> int | None:
        """The fold that the split of a number tests; None without folds."""
        return None if self.folds is None else number % self.folds

    def first_of(self, number: int) -> int:
        """The first of the splits that divide the images as the split of a number does."""
        return number if self.folds is None else number - number % self.folds

    def _check_folds(self, seeds: int) -> None:
        if (self.test is None) == (self.folds is None):
            raise UserError(
                "params.yaml: `split.test` is missing: name a share, a number, a folder or groups, or `split.folds`"
                if self.folds is None
                else "params.yaml: `split.test` has no effect with `split.folds`: every image is tested; use null"
            )
        if self.folds is not None and seeds % (self.folds * self.seeds_per_split):
            wanted = self.folds * self.seeds_per_split
            raise UserError(
                f"params.yaml: `split.folds: {self.folds}` needs {wanted} seeds or a multiple of it, so that every "
                f"image is tested as often as any other, but `seeds` has {seeds}"
            )

    def seeds_of(self, seeds: list[int]) -> list[list[int]]:
        """The seeds of each split, in order.

        Raises:
            UserError: a key has no effect, or the last split lacks seeds.
        """
        each = self.seeds_per_split
        self._check_folds(len(seeds))
        if not self.own:
            if each > 1:
                raise UserError(
                    f"params.yaml: `split.seeds_per_split: {each}` has no effect without `split.per_seed: true`"
                )
            return [seeds]
        if isinstance(self.val, HeldOut) and isinstance(self.test, HeldOut) and self.train is None:
            raise UserError(
                "params.yaml: `split.per_seed: true` has no effect: validation and test are fixed, so there is "
                "nothing to split again"
            )
        odd = len(seeds) % each
        if odd:
            raise UserError(
                f"params.yaml: `split.seeds_per_split` is {each}, but `seeds` has {len(seeds)}: add "
                f"{each - odd} or remove {odd}, so that every split has as many"
            )
        return [seeds[start : start + each] for start in range(0, len(seeds), each)]
