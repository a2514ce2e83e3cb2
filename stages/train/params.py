"""Every knob of one cell. Imports without torch, so that `cells` can check all variants at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from stages.core.errors import UserError
from stages.core.params import Section, section
from stages.train import sections as parts
from stages.train.presets import AUGMENT
from stages.train.zoo.params import Model  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.core.params import Study

# Without a window the key is left out of records, so that the records of earlier cells stay as they are.
Window = Annotated[PositiveInt | None, Field(exclude_if=lambda window: window is None)]


class Cell(Section):
    """One variant, resolved: the defaults of `train:` with what the variant overrides."""

    model: Model
    # data
    size: PositiveInt
    resize: parts.Resize = parts.Resize()
    augment: parts.Augmentation = "none"  # a preset's name, or settings
    normalise: parts.Normalise = "auto"
    # optimisation
    epochs: PositiveInt | None = None
    phases: list[parts.Phase] | None = Field(default=None, min_length=1)
    batch: PositiveInt
    accumulate: PositiveInt = 1  # batches whose gradients make one step
    shuffle_window: Window = None  # images shuffled together, for pixels beyond memory (docs/scale.md); null: all
    lr: parts.Rate
    optimizer: parts.Optimizer
    schedule: parts.Schedule = parts.Constant(name="constant")
    loss: parts.Loss = parts.Loss()
    clip_norm: PositiveFloat | None = None
    # which epoch counts, and when to stop
    checkpoint: Literal["last", "best_val_loss", "best_val_top1"]
    early_stopping: parts.EarlyStopping | None = None
    # a frozen part
    frozen: Literal["cached", "live"] = "cached"
    views: PositiveInt | None = None  # augmented views of each image that the cache holds; none: augment live
    # hardware
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: PositiveInt = 1
    # With one process the key is left out of records, so that the records of earlier cells stay as they are.
    processes: PositiveInt = Field(default=1, exclude_if=lambda count: count == 1)
    instruction_set: Literal["portable", "avx2", "native"] = "portable"
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "fp32"
    channels_last: bool = False
    compile: bool = False

    @property
    def by_id(self) -> bool:
        """Whether pixels are stored in the order of the ids, so that every window holds all classes."""
        return self.shuffle_window is not None

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases together; 0 where there is nothing to train."""
        return sum(phase.epochs for phase in self.schedule_of_phases)

    @property
    def schedule_of_phases(self) -> list[parts.Phase]:
        """The phases; a cell without any is one phase of `epochs`."""
        if self.model.name == "random":
            return []
        return self.phases or [parts.Phase(epochs=self.epochs or 1)]

    @property
    def augmentation(self) -> parts.Augment:
        """The settings of `augment`, with a preset's name looked up."""
        return AUGMENT[self.augment] if isinstance(self.augment, str) else self.augment


def cell(study: Study, variant: str) -> Cell:
    """The settings of `variant`: the top-level `lr`, then `train`, then the variant's own keys.

    Raises:
        UserError: no such variant, or a key that is unknown, wrong, missing or without effect.
    """
    if variant not in study.variants:
        raise UserError(f"params.yaml: no variant `{variant}`; there are {', '.join(study.variants)}")
    defaults, own = dict(study.raw["train"] or {}), study.variants[variant]
    if "epochs" in own and "phases" in own:
        raise UserError(
            f"params.yaml: `variants.{variant}` names both `epochs` and `phases`; the phases hold the epochs"
        )
    if own.get("phases"):
        defaults.pop("epochs", None)
    if own.get("epochs"):
        defaults.pop("phases", None)
    here = f"variants.{variant}"
    values = {"lr": study.lr, **defaults, **own}
    resolved = section(Cell, values, lambda key: here if key in own or key == "model" else "train")
    if own.get("shuffle_window") and resolved.model.name == "random":
        raise UserError(
            f"params.yaml: `{here}.shuffle_window` has no effect on the model `random`, which trains nothing"
        )
    if fault := next(_faults(resolved), None):
        raise UserError(f"params.yaml: `{here}{fault}")
    return resolved


def check(study: Study) -> None:
    """Validate every variant.

    Raises:
        UserError: as `cell`.
    """
    for variant in study.variants:
        cell(study, variant)


def _faults(cell: Cell) -> Iterator[str]:
    """Faults of several keys together; each sentence continues the name of the variant."""
    if (cell.epochs is None) == (cell.phases is None):
        yield "`: name either `epochs` or `phases`"
    if cell.processes > 1 and cell.batch < 2 * cell.processes:
        need = "share each batch and need two images each"
        yield f"`: `processes: {cell.processes}` {need}; `batch` is {cell.batch}"
    if cell.shuffle_window is not None and cell.shuffle_window < cell.batch:
        yield f"`: `shuffle_window: {cell.shuffle_window}` is smaller than `batch: {cell.batch}`"
    if cell.model.name != "backbone" and any(phase.trainable for phase in cell.phases or []):
        yield f".phases`: `trainable` needs a backbone; a `{cell.model.name}` trains whole"
    yield from _augment_faults(cell)


def _augment_faults(cell: Cell) -> Iterator[str]:
    if isinstance(cell.augment, str) and cell.augment not in AUGMENT:
        yield f".augment`: no preset `{cell.augment}`; there are {', '.join(AUGMENT)}"
        return
    augment = cell.augmentation
    if cell.views is not None:
        if cell.model.name != "backbone" or cell.frozen != "cached" or augment == parts.Augment():
            yield ".views` needs a backbone, `frozen: cached` and an augmentation"
        if augment.mixup or augment.cutmix:
            yield ".views` cannot hold mixup or cutmix, whose labels change with the image"
    if augment.fill != "constant" and augment.crop_padding and not (augment.rotation or augment.zoom or augment.shift):
        yield ".augment.fill` has no effect on `crop_padding` alone, which pads with black"
    if augment.shift and (augment.shift.px is None) == (augment.shift.fraction is None):
        yield ".augment.shift`: name either `px` or `fraction`"
