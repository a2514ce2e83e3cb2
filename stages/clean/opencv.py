"""OpenCV, made the same on every processor: one thread, and no more than the instructions that all x86-64 share.

By default it takes what the processor has. Registration carries the last bit of a sum into the second decimal of its
result, so that a pair near a threshold would be a copy on one machine and none on another (docs/decisions/0105).
"""

from __future__ import annotations

from typing import Any

import cv2 as _cv2

cv2: Any = _cv2  # its stubs know neither the types of its results nor all of its functions


def hold() -> None:
    """Hold OpenCV in the calling thread to these instructions; a new thread takes what the processor has."""
    cv2.setUseOptimized(False)


cv2.setNumThreads(1)  # the stage has threads of its own
hold()

__all__ = ["cv2", "hold"]
