"""What was found in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FrameMasks:
    """index: the frame's number from 0. time: seconds from the video's start. image: RGB uint8 [H,W,3].
    masks: bool [Q,H,W], one per sentence, of the video's size. scores: float32 [Q], each mask's highest probability.
    presence, track_presence: float32 [Q], how likely each sentence's actor is there, by this frame and by those before
    it as well; seen: bool [Q], whether the latter is enough. None where the bundle cannot tell.
    """

    index: int
    time: float
    image: np.ndarray
    masks: np.ndarray
    scores: np.ndarray
    presence: np.ndarray | None = None
    track_presence: np.ndarray | None = None
    seen: np.ndarray | None = None
