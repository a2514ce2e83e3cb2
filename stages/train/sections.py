"""The parts of a cell's settings. Unions are told apart by `name`, so that a key without an effect is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, Tag

from stages.core.params import Section
from stages.train.zoo.params import Trainable  # noqa: TC001 - pydantic reads it

Fraction = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class Resize(Section):
    """How a picture becomes a square of `size` px."""

    mode: Literal["squash", "crop", "pad"] = "squash"  # squash: aspect ignored; crop: centre; pad: black borders
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"


# --- normalisation: a list of steps, applied in order to float pixels of 0 to 255 ---


class Scale(Section):
    """Divide by 255."""

    name: Literal["scale"]


class Backbone(Section):
    """The preprocessing that the pretrained weights were trained with."""

    name: Literal["backbone"]


class Standardise(Section):
    """Subtract a given mean and divide by a given standard deviation, per channel."""

    name: Literal["standardise"]
    mean: list[float] = Field(min_length=3, max_length=3)
    std: list[PositiveFloat] = Field(min_length=3, max_length=3)


class Samplewise(Section):
    """Subtract each image's own mean and divide by its own standard deviation (Keras' `samplewise_*`)."""

    name: Literal["samplewise"]
    epsilon: PositiveFloat = 1e-6


class Featurewise(Section):
    """Subtract the mean and divide by the standard deviation of each channel over the training images."""

    name: Literal["featurewise"]
    epsilon: PositiveFloat = 1e-6


class Zca(Section):
    """Whiten with the covariance of the training images (Bell and Sejnowski 1997), regularised."""

    name: Literal["zca"]
    epsilon: PositiveFloat = 1e-2
    components: PositiveInt = 512  # directions whitened each with its own variance; the others share one


NormaliseStep = Annotated[
    Scale | Backbone | Standardise | Samplewise | Featurewise | Zca,
    Field(discriminator="name"),
]
Normalise = Annotated[
    Annotated[Literal["auto"], Tag("name")] | Annotated[list[NormaliseStep], Tag("steps")],
    Discriminator(lambda value: "steps" if isinstance(value, list) else "name"),
]


# --- augmentation: of training images, drawn per image ---


class Shift(Section):
    """Move by up to so much, both ways, in both directions."""

    px: NonNegativeFloat | None = None
    fraction: Fraction | None = None

    def pixels(self, size: int) -> float:
        """The greatest shift in px of an image `size` px wide."""
        return self.px if self.px is not None else (self.fraction or 0.0) * size


class RandomResizedCrop(Section):
    """Cut out a part of this area (fraction) and aspect, and stretch it to the full square (Szegedy et al. 2015)."""

    scale: list[Fraction] = Field(default=[0.08, 1.0], min_length=2, max_length=2)
    ratio: list[PositiveFloat] = Field(default=[0.75, 4 / 3], min_length=2, max_length=2)


class ColorJitter(Section):
    """Brightness, contrast and saturation are multiplied by 1 +- x; hue is turned by +- x of the circle."""

    brightness: NonNegativeFloat = 0.0
    contrast: NonNegativeFloat = 0.0
    saturation: NonNegativeFloat = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class RandomErasing(Section):
    """Blank a rectangle of this area (fraction) and aspect (Zhong et al. 2017)."""

    probability: Fraction = 0.5
    scale: list[Fraction] = Field(default=[0.02, 0.33], min_length=2, max_length=2)
    ratio: list[PositiveFloat] = Field(default=[0.3, 3.3], min_length=2, max_length=2)


class Augment(Section):
    """What is done to a training image; every number is drawn per image from (seed, epoch, image)."""

    shift: Shift | None = None
    rotation: NonNegativeFloat = 0.0  # degrees, both ways
    zoom: list[PositiveFloat] | None = Field(default=None, min_length=2, max_length=2)  # above 1 the object grows
    horizontal_flip: Fraction = 0.0  # probability
    vertical_flip: Fraction = 0.0
    crop_padding: Annotated[int, Field(ge=0)] = 0  # px added on each side, then a random window is cut out
    random_resized_crop: RandomResizedCrop | None = None
    fill: Literal["nearest", "constant", "reflect"] = "constant"  # what stands outside of the image; constant: black
    interpolation: Literal["nearest", "bilinear"] = "bilinear"
    color_jitter: ColorJitter | None = None
    random_erasing: RandomErasing | None = None
    mixup: NonNegativeFloat = 0.0  # alpha of the beta distribution (Zhang et al. 2017)
    cutmix: NonNegativeFloat = 0.0  # alpha (Yun et al. 2019)


Augmentation = Annotated[
    Annotated[str, Tag("preset")] | Annotated[Augment, Tag("settings")],
    Discriminator(lambda value: "preset" if isinstance(value, str) else "settings"),
]


# --- optimisation ---


class Sgd(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    momentum: Momentum = 0.0
    nesterov: bool = False
    weight_decay: NonNegativeFloat = 0.0


class Adam(Section):
    """Adam (Kingma and Ba 2014); weight decay is added to the gradient."""

    name: Literal["adam"]
    betas: list[Momentum] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    epsilon: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0


class AdamW(Section):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017)."""

    name: Literal["adamw"]
    betas: list[Momentum] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    epsilon: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 1e-2


class RmsProp(Section):
    """RMSprop. `epsilon` is added after the root, as torch and Keras up to 2.2 do; later Keras adds it before."""

    name: Literal["rmsprop"]
    rho: Momentum = 0.9
    epsilon: PositiveFloat = 1e-8
    momentum: Momentum = 0.0
    weight_decay: NonNegativeFloat = 0.0


Optimizer = Annotated[Sgd | Adam | AdamW | RmsProp, Field(discriminator="name")]


class Constant(Section):
    """The same rate throughout, after `warmup` epochs of linear rise."""

    name: Literal["constant"]
    warmup: NonNegativeFloat = 0.0


class Step(Section):
    """Times `factor` after every `every` epochs."""

    name: Literal["step"]
    every: PositiveInt
    factor: PositiveFloat = 0.1
    warmup: NonNegativeFloat = 0.0


class Cosine(Section):
    """Half a cosine from the rate down to `final` of it (Loshchilov and Hutter 2016)."""

    name: Literal["cosine"]
    final: Fraction = 0.0
    warmup: NonNegativeFloat = 0.0


class OneCycle(Section):
    """Up from 1/`start` of the rate in the first part `rise`, then down to 1/`end` of the start (Smith 2017)."""

    name: Literal["onecycle"]
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    start: Annotated[float, Field(ge=1)] = 25.0
    end: Annotated[float, Field(ge=1)] = 1e4


class Plateau(Section):
    """Times `factor` when the validation loss has not fallen for more than `patience` epochs."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 10


Schedule = Annotated[Constant | Step | Cosine | OneCycle | Plateau, Field(discriminator="name")]


class GroupRates(Section):
    """Learning rates of the pretrained features and of the new head."""

    features: NonNegativeFloat
    head: NonNegativeFloat


Rate = Annotated[
    Annotated[PositiveFloat, Tag("rate")] | Annotated[GroupRates, Tag("groups")],
    Discriminator(lambda value: "groups" if isinstance(value, dict | GroupRates) else "rate"),
]


class Phase(Section):
    """A stretch of training: the network goes on, the schedule and the optimiser's memory begin anew."""

    epochs: PositiveInt
    lr: Rate | None = None  # the cell's, unless named
    trainable: Trainable | None = None  # as `model.trainable`; the model's, unless named


class Loss(Section):
    """Cross entropy."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] | list[PositiveFloat] = (
        "none"  # balanced: images / (classes x its images)
    )


class EarlyStopping(Section):
    """Stop when the validation loss has not reached a new minimum for `patience` epochs."""

    patience: PositiveInt
