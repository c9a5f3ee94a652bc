"""COCO's compressed run-length encoding of masks, as pycocotools writes and reads it."""

from __future__ import annotations

import numpy as np


def encode(mask: np.ndarray) -> dict:
    """bool [H,W] -> {"size": [H, W], "counts": str}; runs down the columns, the first of them background."""
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    bounds = np.concatenate([[0] if flat.size and flat[0] else [], [0], edges, [flat.size]]).astype(np.int64)
    runs = np.diff(bounds).tolist()
    deltas = [run - runs[i - 2] if i > 2 else run for i, run in enumerate(runs)]
    return {"size": list(mask.shape), "counts": "".join(map(_to_text, deltas))}


def decode(encoded: dict) -> np.ndarray:
    """The inverse of `encode`: bool [H,W]."""
    runs: list[int] = []
    for delta in _from_text(encoded["counts"]):
        runs.append(delta + (runs[-2] if len(runs) > 2 else 0))
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(encoded["size"], order="F")


def _to_text(value: int) -> str:
    """A signed number in groups of five bits, low first; bit 5 says that more follow; shifted into printable ASCII."""
    text = ""
    while True:
        group, value = value & 31, value >> 5
        done = value == (-1 if group & 16 else 0)
        text += chr((group if done else group | 32) + 48)
        if done:
            return text


def _from_text(text: str):
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            yield value - (1 << shift) if group & 16 else value
            value = shift = 0
