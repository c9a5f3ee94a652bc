"""What held and moved masks are worth, on sprites whose masks are known. Printed by `cstm soak BUNDLE between`."""

from __future__ import annotations

from typing import Any

import numpy as np

from cstm.data.sprites.dataset import make_clip
from cstm.runtime.live.motion import moved
from cstm.runtime.overlap import mask_iou

SEED = 78_000  # unlike those of calibration and evaluation
LATER = (1, 2, 4, 8)  # frames


def between(clips: int, size: int) -> dict[str, Any]:
    """Mean IoU of the mask at first, held and moved, with the true one so many frames later; of every actor that can
    be described, in `clips` clips of frames [size,size]."""
    held: dict[int, list[float]] = {later: [] for later in LATER}
    shifted: dict[int, list[float]] = {later: [] for later in LATER}
    for number in range(clips):
        clip = make_clip("test", SEED, number, size, np.arange(LATER[-1] + 1), (0, *LATER))
        actors = sorted(clip.sentences)
        first = clip.masks[0, actors]
        pixels = np.ascontiguousarray(clip.frames.transpose(0, 3, 1, 2))
        for place, later in enumerate(LATER, 1):
            truth = clip.masks[place, actors]
            held[later] += mask_iou(first, truth).tolist()
            shifted[later] += mask_iou(moved(first, pixels[0], pixels[later]), truth).tolist()
    return {
        "clips": clips,
        "masks": len(held[LATER[0]]),
        "held_iou": {later: float(np.mean(found)) for later, found in held.items()},
        "moved_iou": {later: float(np.mean(found)) for later, found in shifted.items()},
    }
