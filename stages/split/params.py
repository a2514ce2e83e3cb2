"""The section `split` of params.yaml."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from stages.core.errors import UserError
from stages.core.params import Section


class Published(Section):
    """A part that was published with the data: the images whose path in the source begins with this folder."""

    folder: str

    @property
    def prefix(self) -> str:
        """What the paths of its images begin with."""
        return self.folder.rstrip("/") + "/"


class Groups(Section):
    """Whole groups by the names that `ingest` gave them, such as a site that no training picture is from."""

    groups: list[str] = Field(min_length=1)


HeldOut = Published | Groups
Share = Annotated[float, Field(gt=0, lt=1)] | Annotated[int, Field(ge=1)]


class Drawing(NamedTuple):
    """One split of a study.

    Attributes:
        seeds: of the cells that share it.
        draw: what its random numbers depend on besides `split.seed`: nothing for a split that all seeds share, else
            its first seed. All folds of one round come from one deal, so there it is the first seed of the round.
        fold: the fold that is tested, from 0; None without folds.
    """

    seeds: list[int]
    draw: list[int]
    fold: int | None


class Split(Section):
    """How the kept images are divided.

    Attributes:
        seed: of the split alone; the seeds of the cells touch it only with `per_seed`.
        val: share of the images (below 1), their number (whole), the folder of a published part, or named groups.
        test: the same. Copies that a folder or group has elsewhere are left out of the other parts. `null` with
            `folds`.
        folds: k-fold cross-validation: consecutive splits test one fold each, so that every image is tested once in
            `folds` splits; further seeds divide the images anew. `seeds` has a multiple of folds x seeds_per_split.
        train: share of the images or their number; `null`: all that validation and test leave.
        stratify: the same mixture of classes in train, validation and test.
        grouped: no duplicate group stands in two of them. Off only to repeat a study that leaked.
        per_seed: every seed has a split of its own; else all share one.
        seeds_per_split: with `per_seed` or `folds`: so many consecutive seeds share one split; with 2 or more the
            report separates the variance of the split from that of the seed.
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
    def held_out(self) -> dict[str, Published | Groups]:
        """The parts that consist of a folder or of groups; test first, as in `clean`: it must stay whole."""
        return {part: share for part, share in (("test", self.test), ("val", self.val)) if isinstance(share, HeldOut)}

    def count(self, part: str, total: int) -> int:
        """The number of images, of `total`, that a part has by its share; 0 where it is held out or null."""
        share = {"train": self.train, "val": self.val, "test": self.test}[part]
        if share is None or isinstance(share, HeldOut):
            return 0
        return share if isinstance(share, int) else round(share * total)

    def check(self, seeds: int) -> None:
        """Check what the model cannot: the keys against each other, and against the number of seeds.

        Raises:
            UserError: test is missing, a key has no effect, a folder or group stands in two parts, or the last split
                lacks seeds.
        """
        self._check_parts()
        each = self.seeds_per_split
        if self.folds is not None and seeds % (self.folds * each):
            raise UserError(
                f"params.yaml: `split.folds: {self.folds}` needs {self.folds * each} seeds or a multiple of it, so "
                f"that every image is tested as often as any other, but `seeds` has {seeds}"
            )
        if each > 1 and not self.per_seed and self.folds is None:
            raise UserError(
                f"params.yaml: `split.seeds_per_split: {each}` has no effect without `split.per_seed: true` or "
                "`split.folds`"
            )
        odd = seeds % each if self.per_seed else 0
        if odd:
            raise UserError(
                f"params.yaml: `split.seeds_per_split` is {each}, but `seeds` has {seeds}: add "
                f"{each - odd} or remove {odd}, so that every split has as many"
            )

    def _check_parts(self) -> None:
        if (self.test is None) == (self.folds is None):
            raise UserError(
                "params.yaml: `split.test` is missing: name a share, a number, a folder or groups, or `split.folds`"
                if self.folds is None
                else "params.yaml: `split.test` has no effect with `split.folds`: every image is tested; use null"
            )
        match self.test, self.val:
            case Published() as test, Published() as val if val.prefix.startswith(test.prefix):
                raise UserError(
                    f"params.yaml: the folder of `split.val`, {val.folder}, is that of `split.test` or lies in it, so "
                    "validation would have no image; name another folder"
                )
            case Groups() as test, Groups() as val if both := sorted({*test.groups} & {*val.groups}):
                raise UserError(
                    f"params.yaml: the group {both[0]!r} stands in `split.test.groups` and in `split.val.groups`; "
                    "remove it from one of them"
                )
        if self.per_seed and len(self.held_out) == 2 and self.train is None:
            raise UserError(
                "params.yaml: `split.per_seed: true` has no effect: validation and test are fixed, so there is "
                "nothing to split again"
            )

    def plan(self, seeds: list[int]) -> list[Drawing]:
        """The splits of a study, in the order of its seeds; errors as in `check`."""
        self.check(len(seeds))
        if not self.per_seed and self.folds is None:
            return [Drawing(seeds, [], None)]
        each = self.seeds_per_split
        drawings = []
        for number, start in enumerate(range(0, len(seeds), each)):
            fold = None if self.folds is None else number % self.folds
            first = start - (fold or 0) * each  # of the round
            drawings.append(Drawing(seeds[start : start + each], [seeds[first]], fold))
        return drawings
