"""The box around a mask."""

from __future__ import annotations

import numpy as np


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """bool [H,W] that is not empty -> top, left, bottom, right in pixels, the last two the first ones outside."""
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
