"""The section `model:` of a variant. Imports neither torch nor timm: every stage may check params.yaml cheaply."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from stages.core.params import Section

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]
BatchNorm = Literal["none", "before_activation", "after_activation"]
Layer = Literal["conv", "batch_norm", "activation", "dropout", "pool"]
Padding = Literal["same", "valid"]
Width = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Initialisation = Literal["pytorch", "glorot_uniform", "he_normal"]
Preset = Literal["B2", "B4", "B6", "B8", "E4", "E5", "E6", "P4"]


class Dense(Section):
    """Hidden linear layers in front of the output layer; each is linear, activation, dropout."""

    widths: list[Width] = Field(default_factory=list)
    activation: Activation = "relu"
    batch_norm: BatchNorm | list[BatchNorm] = "none"  # a list names one place for each width
    dropout: Rate | list[Rate] = 0.0  # a number stands in front of the output layer, a list after each width

    @model_validator(mode="after")
    def _one_per_width(self) -> Dense:
        for key in ("batch_norm", "dropout"):
            value = getattr(self, key)
            if isinstance(value, list) and len(value) != len(self.widths):
                raise ValueError(f"`{key}` lists {len(value)} values for {len(self.widths)} widths")
        if self.batch_norm != "none" and not self.widths:
            raise ValueError("`batch_norm` has no effect without `widths`")
        return self

    @property
    def batch_norms(self) -> list[BatchNorm]:
        """Where the batch norm of each hidden layer stands."""
        return self.batch_norm if isinstance(self.batch_norm, list) else [self.batch_norm] * len(self.widths)

    @property
    def dropouts(self) -> list[float]:
        """The dropout in front of each linear layer; the last entry stands before the output layer."""
        if isinstance(self.dropout, list):
            return [0.0, *self.dropout]
        return [0.0] * len(self.widths) + [self.dropout]


class Head(Dense):
    """What turns a feature map into logits."""

    pooling: Literal["average", "max", "flatten"] = "average"


class BackboneHead(Dense):
    """The head of a backbone; `own` is the pooling it was published with (class token, extra convolution...)."""

    pooling: Literal["average", "max", "flatten", "own"] = "average"
    initialisation: Initialisation = "pytorch"


class Mlp(Dense):
    """A multi-layer perceptron on the flattened pixels."""

    name: Literal["mlp"]
    initialisation: Initialisation = "pytorch"


class Block(Section):
    """One stage of a CNN: a convolution for each entry of `filters`, then the pooling."""

    filters: Annotated[list[Width], Field(min_length=1)]
    kernel: Width = 3
    padding: Padding | list[Padding] = "same"  # a list names one for each convolution
    dropout: Rate = 0.0

    @model_validator(mode="after")
    def _one_per_convolution(self) -> Block:
        if isinstance(self.padding, list) and len(self.padding) != len(self.filters):
            raise ValueError(f"`padding` lists {len(self.padding)} values for {len(self.filters)} filters")
        return self

    @property
    def paddings(self) -> list[Padding]:
        """The padding of each convolution."""
        return self.padding if isinstance(self.padding, list) else [self.padding] * len(self.filters)


class Cnn(Section):
    """A plain convolutional network.

    `layers` is the order within every block: what stands in front of `pool` is repeated for each convolution of the
    block, `pool` (max, 2x2, stride 2) and what follows it comes once. A block whose `dropout` is 0 has none.
    """

    name: Literal["cnn"]
    blocks: Annotated[list[Block], Field(min_length=1)]
    layers: list[Layer] = Field(default_factory=lambda: list[Layer](("conv", "activation", "pool")))
    activation: Activation = "relu"
    head: Head = Head()
    initialisation: Initialisation = "pytorch"

    @model_validator(mode="after")
    def _layers_take_effect(self) -> Cnn:
        if len(set(self.layers)) != len(self.layers):
            raise ValueError("`layers` names one of its entries twice")
        if not self.layers or self.layers[0] != "conv":
            raise ValueError("`layers` must begin with `conv`")
        if any(block.dropout for block in self.blocks) != ("dropout" in self.layers):
            raise ValueError("`dropout` must stand in `layers` if, and only if, a block has a rate above 0")
        return self


class LastLayers(Section):
    """The last N layers with weights (convolution or linear, the head's among them), in the order of definition."""

    last: Width


class NamedLayers(Section):
    """Parameters or modules by name; `*` stands for anything: `features.28`, `features.layer4.*.conv3`, `head`."""

    names: Annotated[list[str], Field(min_length=1)]


Trainable: TypeAlias = Literal["head", "all"] | Preset | LastLayers | NamedLayers


class Backbone(Section):
    """A network of the field by its name, with a head of its own."""

    name: Literal["backbone"]
    architecture: str  # a name of timm (`resnetv2_50`, `vit_small_patch16_224.augreg_in1k`) or `torchvision/<name>`
    weights: str = "imagenet"  # imagenet | none | a .safetensors or .pth file
    preprocessing: Literal["own", "torch", "tf", "caffe"] = "own"  # own: its weights'; the rest as Keras names them
    trainable: Trainable = "head"
    head: BackboneHead = BackboneHead()


class Random(Section):
    """Predicts the class frequencies of the training images, whatever it sees: the floor of every comparison."""

    name: Literal["random"]


Model: TypeAlias = Annotated[Mlp | Cnn | Backbone | Random, Field(discriminator="name")]
