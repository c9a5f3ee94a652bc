"""The box around a mask."""

from __future__ import annotations

import numpy as np

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels, the last two the first ones outside


def bounding_box(mask: np.ndarray) -> Box | None:
    """Of a mask bool [H,W]; None where it is empty."""
    rows = np.flatnonzero(mask.any(1))
    if not rows.size:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
