"""Responses without what flickers for one frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from cstm.errors import VideoError
from cstm.runtime.overlap import mask_iou
from cstm.runtime.postprocess import probabilities
from cstm.runtime.video import Frame

SAME, ANOTHER = 0.5, 0.25  # IoU of what is one actor's mask, at least, and of what is not, at most


def smooth(responses: Iterable[tuple[Frame, np.ndarray]]) -> Iterator[tuple[Frame, np.ndarray]]:
    """Each frame with its mask logits [Q,1,R,R], `mended` by its neighbours', one frame later than it is given.

    The first and the last stay as they are. When the source raises VideoError, the frames before it come first.
    """
    held: deque[tuple[Frame, np.ndarray]] = deque(maxlen=3)
    broken = None
    try:
        for response in responses:
            held.append(response)
            if len(held) == 2:
                yield held[0]
            elif len(held) == 3:
                before, own, after = (logits for _, logits in held)
                yield held[1][0], mended(before, own, after)
    except VideoError as error:
        broken = error
    if held:
        yield held[-1]
    if broken:
        raise broken


def mended(before: np.ndarray, own: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mask logits [Q,1,R,R] of three frames -> those of the middle one, in which a sentence's are the mean of its
    neighbours' where those show one actor and it shows another: a drop-out."""
    first, here, last = map(_masks, (before, own, after))
    strays = np.maximum(mask_iou(first, here), mask_iou(here, last)) <= ANOTHER
    flickers = strays & (mask_iou(first, last) >= SAME)
    return np.where(flickers[:, None, None, None], (before + after) / 2, own)


def _masks(logits: np.ndarray) -> np.ndarray:
    """What is above half of the highest probability, at the network's size: bool [Q,R,R]."""
    likely = probabilities(logits)
    return likely > 0.5 * likely.max((1, 2), keepdims=True)
