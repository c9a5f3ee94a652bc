"""Intersection over union: of masks at run time, in calibration, in training and in evaluation."""

from __future__ import annotations

from typing import Any


def overlap(ours: Any, theirs: Any) -> tuple[Any, Any]:
    """(intersection, union) in pixels of bool masks [...,H,W], each of shape [...]; numpy arrays or torch tensors."""
    return (ours & theirs).sum((-2, -1)), (ours | theirs).sum((-2, -1))


def mask_iou(ours: Any, theirs: Any) -> Any:
    """Intersection over union of bool masks [...,H,W], of shape [...]; 1 where both are empty. As `overlap`."""
    intersection, union = overlap(ours, theirs)
    nothing = union == 0
    return (intersection + nothing) / (union + nothing)
