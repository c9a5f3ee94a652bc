"""How well a score tells two groups apart."""

from __future__ import annotations

import numpy as np


def auroc(present: np.ndarray, absent: np.ndarray) -> float:
    """The area under the ROC curve: how often one of `present`, scores [n], is above one of `absent`, [m]; ties are
    half."""
    order = np.sort(absent)
    below, up_to = (np.searchsorted(order, present, side).mean() for side in ("left", "right"))
    return float(below + up_to) / 2 / len(absent)


def threshold_at(present: np.ndarray, recall: float) -> float:
    """The highest of the scores [n] that at least `recall` of them reach."""
    return float(np.quantile(present, 1 - recall, method="lower"))


def reaching(scores: np.ndarray, threshold: float) -> float:
    """The share of scores [n] that are at least `threshold`."""
    return float((scores >= threshold).mean())
