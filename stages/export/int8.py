"""Static int8: weights and activations as bytes, with the ranges of activations taken from training pictures."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.core.console import progress, say
from stages.export.graph import IMAGES
from stages.export.parity import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from stages.export.graph import Graph

_PICTURES, _BATCH = 256, 16  # training pictures that the ranges are taken from
_TYPES = ["Conv", "MatMul", "Gemm"]  # where the time goes; normalisation and softmax stay in float32


def write(path: Path, small: Path, graph: Graph, seeds: Sequence[int]) -> None:
    """Write `small`, the int8 form of `path`, with the same metadata.

    Ranges come from pictures that the network of the first seed was trained on, spread over the training set.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    part = Part(graph.cell, seeds[0], "train")
    chosen = np.unique(np.linspace(0, len(part.images) - 1, _PICTURES).round().astype(np.int64))

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            starts = progress(range(0, len(chosen), _BATCH), desc="int8: ranges of activations")
            self.batches: Iterator[NDArray[np.uint8]] = (part.images[chosen[i : i + _BATCH]] for i in starts)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {IMAGES: batch}

    say(f"int8: quantizing with {len(chosen)} training pictures")
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        logging.getLogger().setLevel(logging.ERROR)  # it advises to do what is done here
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared), str(small), Reader(), per_channel=True, op_types_to_quantize=_TYPES,
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
    made = onnx.load(small)
    onnx.helper.set_model_props(made, {prop.key: prop.value for prop in onnx.load(path).metadata_props})
    onnx.save(made, small)
