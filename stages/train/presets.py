"""Augmentations by name: those of the published studies, and a few of common use."""

from __future__ import annotations

from stages.train.sections import Augment, ColorJitter, RandomResizedCrop, Shift

AUGMENT: dict[str, Augment] = {
    "none": Augment(),
    "flip_crop": Augment(horizontal_flip=0.5, crop_padding=4),
    "imagenet": Augment(horizontal_flip=0.5, random_resized_crop=RandomResizedCrop()),
    # the studies, by their table
    "bananas": Augment(  # B1-B8; the notebooks leave the rotation of the README out
        shift=Shift(px=5), zoom=[0.8, 1.2], rotation=10, horizontal_flip=0.5, vertical_flip=0.5, fill="nearest"
    ),
    "bananas_notebooks": Augment(
        shift=Shift(px=5), zoom=[0.8, 1.2], horizontal_flip=0.5, vertical_flip=0.5, fill="nearest"
    ),
    "uecfood": Augment(  # U5-U16
        shift=Shift(fraction=0.2), rotation=90, horizontal_flip=0.5, vertical_flip=0.5, fill="nearest"
    ),
    "cifar_english": Augment(  # E2, E3
        color_jitter=ColorJitter(brightness=0.25, saturation=0.1),
        horizontal_flip=0.5,
        vertical_flip=0.5,
        rotation=10,
        interpolation="nearest",
    ),
    "cifar_english_vgg16": Augment(  # E4-E6
        color_jitter=ColorJitter(brightness=0.25, saturation=0.1),
        horizontal_flip=0.5,
        rotation=10,
        interpolation="nearest",
    ),
    "cifar_persian": Augment(horizontal_flip=0.5, crop_padding=4),  # P1-P4
}
