"""What a pretrained backbone expects its pictures to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preprocessing:
    """x = (pixel * scale - mean) / std, for each channel of an RGB picture with pixels 0..255.

    With `bgr`, the channels are reversed afterwards; `mean` and `std` stay in the order R, G, B.
    """

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


# As Keras' `preprocess_input(mode=...)` names them; caffe is for weights that came from Caffe (VGG16 of Keras).
MODES = {
    "torch": Preprocessing(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "tf": Preprocessing(1 / 127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "caffe": Preprocessing(1.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), bgr=True),
}
