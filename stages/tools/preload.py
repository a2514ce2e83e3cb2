"""What `train` and `evaluate` import: loaded once, in the process from which the cells of `side_by_side` are forked.

Loading these modules takes longer than training a small cell. Nothing is computed here: the settings of a cell decide
how torch computes, and they are read before its first operation.
"""

from __future__ import annotations

import contextlib

with contextlib.suppress(Exception):  # a module that cannot be loaded is named by the first cell that needs it
    import stages.evaluate.cell
    import stages.evaluate.cost
    import stages.evaluate.gradcam
    import stages.evaluate.network
    import stages.evaluate.params
    import stages.evaluate.robustness
    import stages.evaluate.tables
    import stages.train.params
    import stages.train.run  # noqa: F401
