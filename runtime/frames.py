"""Frames, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Frame:
    """index: from 0. time: seconds since the first frame. image: RGB uint8 [H,W,3]."""

    index: int
    time: float
    image: np.ndarray


@dataclass(frozen=True)
class Source:
    """What `Video` reads, once.

    name: as errors call it. fps: average frames a second. count: declared number of frames, or None.
    notes: what was passed over, a line each; grows while frames are read. close: releases what is open.
    """

    name: str
    frames: Iterator[Frame]
    fps: float
    count: int | None = None
    notes: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None
