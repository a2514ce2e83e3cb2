"""One cell: one variant, one seed. Pixels, augmentation, normalisation, networks, loop, checkpoints, predictions."""
