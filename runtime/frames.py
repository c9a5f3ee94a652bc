"""Frames, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from cstm.runtime.sound import Sound


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
    pixel_aspect: the width of a pixel as it is shown, by its height, known once a frame was read. sound: opens the
    sound from the first frame on, where there is any. targets: as `Video` has them.
    """

    name: str
    frames: Iterator[Frame]
    fps: float
    count: int | None = None
    notes: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None
    pixel_aspect: Callable[[], Fraction] = lambda: Fraction(1)
    sound: Callable[[], Sound | None] = lambda: None
    targets: range | None = None
