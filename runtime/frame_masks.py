"""What was found in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FrameMasks:
    """index: the frame's number from 0. time: seconds from the video's start. image: RGB uint8 [H,W,3].
    masks: bool [Q,H,W], one per sentence, of the video's size. scores: float32 [Q], each mask's highest probability.
    """

    index: int
    time: float
    image: np.ndarray
    masks: np.ndarray
    scores: np.ndarray
