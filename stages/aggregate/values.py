"""One number for every test image whose mean is the metric that variants are compared by.

Accuracy is such a mean as it stands, NLL too. Balanced accuracy and macro F1 are none: an image gets the metric plus
its influence on it (the first-order change that its weight makes), and these average to the metric. A drop of
robustness is known for a whole cell alone, so that only the seeds show how it varies.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import cells, files
from stages.core.errors import UserError
from stages.core.metrics import OVER_CLASSES, equal_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from stages.aggregate.collect import CellResults


@dataclass(frozen=True)
class GroupSizes:
    """What the sizes of groups of images mean for a variance.

    `equal_groups` is how many groups of one size say as much: their number less 1 is the degrees of freedom. The sum of
    squares over G groups, divided by G, is too small: if the means of the groups vary alike, its expectation is the
    variance x (1 - 2 sum w^3 / sum w^2 + sum w^2), where w is the share of a group in the images (decision 0403).
    `small_sample` is the inverse of that factor; it is G / (G - 1) for groups of one size.
    """

    equal_groups: float
    small_sample: float

    @classmethod
    def alike(cls, groups: int) -> GroupSizes:
        """Of groups of one size, or of single images."""
        return cls(float(groups), groups / max(groups - 1, 1))


def group_sizes(groups: Iterable[str]) -> GroupSizes:
    """The sizes of the groups, one name for each image."""
    sizes = Counter(groups).values()
    if len(set(sizes)) == 1:
        return GroupSizes.alike(len(sizes))
    total = sum(sizes)
    squares, cubes = (sum((size / total) ** power for size in sizes) for power in (2, 3))  # of the shares
    return GroupSizes(equal_groups(sizes), 1 / (1 - 2 * cubes / squares + squares))


def of(found: list[CellResults], metric: str) -> NDArray[Any]:
    """The numbers of cells of one split: (variants, seeds, images), in the order of params.yaml.

    Whole numbers for top-1, so that their sums are the same on every machine; one number a cell for a metric of
    `WHOLE_CELL`.
    """
    if metric in OF_CELLS:
        return _by_variant(found, [np.array([OF_CELLS[metric](cell)]) for cell in found])
    return _by_variant(found, [OF_IMAGES[metric](table) for table in _tests(found)])


def predicted(found: list[CellResults]) -> NDArray[np.int64]:
    """What the cells call every image, as numbers: (variants, seeds, images)."""
    tables = [table["predicted"].to_numpy() for table in _tests(found)]
    _, codes = np.unique(np.concatenate(tables), return_inverse=True)
    return _by_variant(found, np.split(codes, len(tables)))


def _tests(found: list[CellResults]) -> list[pd.DataFrame]:
    """The predictions of each cell for the test images."""
    return [cell.predictions[cell.predictions["split"] == "test"] for cell in found]


def _by_variant(found: list[CellResults], rows: list[NDArray[Any]]) -> NDArray[Any]:
    """A row of each cell as one table (variants, seeds, values)."""
    return np.asarray(rows).reshape(len({cell.variant for cell in found}), -1, len(rows[0]))


def blocks(values: NDArray[Any], groups: Sequence[str]) -> NDArray[Any]:
    """Values (variants, seeds, groups), one a group of images that belong together (copies, look-alikes).

    Images of one group are no independent samples, so a group is drawn whole. The values average to those of the
    images (for every seed), and vary as the mean over all images does when groups are drawn (a linearised ratio).
    """
    _, place, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if values.shape[-1] != len(groups) or len(sizes) == len(groups):
        return values
    mean = values.mean(axis=(1, 2), keepdims=True)
    order = np.argsort(place, kind="stable")
    sums = np.add.reduceat(values[..., order], np.r_[0, np.cumsum(sizes)[:-1]], axis=-1)
    return np.asarray((sums - sizes * mean) * (len(sizes) / len(groups)) + mean)


def two_more(found: list[CellResults], metric: str) -> NDArray[np.float64]:
    """What two more images of every class would add to the variance of a mean over classes: (variants,).

    One of the two is right and the other wrong, as in Wilson's interval. A class of three images that are all right
    shows no variance of its own, and would be taken for a class without an error. 0 for a metric over images.
    """
    if metric not in OVER_CLASSES:
        return np.zeros(len({cell.variant for cell in found}))
    tables = _tests(found)
    _, truth = np.unique(tables[0]["label"].to_numpy(), return_inverse=True)
    sizes = np.bincount(truth)
    right = [_right(table) for table in tables]
    each = _by_variant(found, right).mean(axis=1)
    recall = np.array([np.bincount(truth, weights=row) / sizes for row in each])
    return np.asarray(((recall**2 + (1 - recall) ** 2) / (sizes + 2) ** 2).sum(axis=1) / len(sizes) ** 2)


def _right(table: pd.DataFrame) -> NDArray[Any]:
    return (table["label"] == table["predicted"]).to_numpy(dtype=np.int64)


def _loss(table: pd.DataFrame) -> NDArray[np.float64]:
    return table["loss"].to_numpy(dtype=np.float64)  # the plain cross entropy of each image


def _recall(table: pd.DataFrame) -> NDArray[np.float64]:
    """Balanced accuracy, plus each image's influence on it."""
    right = _right(table)
    labels, truth = np.unique(table["label"].to_numpy(), return_inverse=True)
    sizes = np.bincount(truth)
    recall = np.bincount(truth, weights=right) / sizes
    return np.asarray(recall.mean() + (right - recall[truth]) * (len(right) / (len(labels) * sizes[truth])))


def _f1(table: pd.DataFrame) -> NDArray[np.float64]:
    """Macro F1, plus each image's influence on it."""
    label, guess = table["label"].to_numpy(), table["predicted"].to_numpy()
    names, codes = np.unique(np.concatenate([label, guess]), return_inverse=True)
    truth, called = np.split(codes, 2)
    both = truth == called
    hits = np.bincount(truth[both], minlength=len(names))
    total = np.bincount(truth, minlength=len(names)) + np.bincount(called, minlength=len(names))  # 2 TP + FP + FN
    each = 2 * hits / total
    influence = (2 * both - each[truth]) / total[truth] - each[called] / total[called]
    return np.asarray(each.mean() + len(label) * influence / len(names))


def _drop(cell: CellResults) -> float:
    """Top-1 on the unchanged test images less the mean over all changes of them.

    Raises:
        UserError: the study changes no test image.
    """
    rows = files.read_rows(cells.evaluate_folder(cell.variant, cell.seed) / "robustness.csv")
    clean = [float(row["top1"]) for row in rows if row["transform"] == "none"]
    changed = [float(row["top1"]) for row in rows if row["transform"] != "none" and float(row["changed"]) > 0]
    if not clean or not changed:
        raise UserError(
            "params.yaml: `aggregate.compare: robustness_drop` needs changed test images, and `evaluate.robustness` "
            "asks for none; name a strength there, or compare another metric"
        )
    return clean[0] - sum(changed) / len(changed)


# The metrics that `aggregate.compare` can name: of a table of test images, and of a whole cell (`WHOLE_CELL`).
OF_IMAGES: dict[str, Callable[[pd.DataFrame], NDArray[Any]]] = {
    "top1": _right, "nll": _loss, "balanced_accuracy": _recall, "macro_f1": _f1
}  # fmt: skip
OF_CELLS: dict[str, Callable[[CellResults], float]] = {"robustness_drop": _drop}
