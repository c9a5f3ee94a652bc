"""Real videos, of which there are few, as if held by another hand: another part of the picture, moving and zooming."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from cstm.data.sample import Sample

CROP = (0.5, 1.0)  # sides of the part that is shown, as shares
VISIBLE = 0.6  # of the actor, at least, where there is one
ATTEMPTS = 8
FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
FLAGS_NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP


def shaken(sample: Sample, size: int, rng: np.random.Generator) -> Sample:
    """A moving part of the sample at `size` pixels, in another light: clip uint8 [3,T,size,size], mask bool
    [size,size]. The part is one in which most of the actor can be seen; its sentence stays as it is."""
    mask = sample.mask.astype(np.uint8)
    for attempt in range(ATTEMPTS):
        side = 1.0 if attempt == ATTEMPTS - 1 else rng.uniform(*CROP)
        corner = rng.uniform(0, 1 - side, 2) if side < 1 else np.zeros(2)
        height, width = mask.shape
        seen = cv2.warpAffine(mask, _matrix(corner, side, width, height, size), (size, size), flags=FLAGS_NEAREST)
        if seen.sum() * side**2 * height * width >= VISIBLE * mask.sum() * size**2:
            break
    frames = sample.clip.transpose(1, 2, 3, 0)
    count, own = len(frames), frames.shape[1]
    times = np.arange(count) - count // 2
    corners = (
        corner + np.outer(times, rng.normal(0, 0.006, 2)) + (times != 0)[:, None] * rng.normal(0, 0.003, (count, 2))
    )
    sides = side * np.exp(times * rng.normal(0, 0.008))
    light = _light(rng)
    clip = np.empty((count, size, size, 3), np.uint8)
    for k in range(count):
        matrix = _matrix(corners[k], sides[k], own, own, size)
        part = cv2.warpAffine(frames[k], matrix, (size, size), flags=FLAGS, borderMode=cv2.BORDER_REFLECT)
        clip[k] = cv2.LUT(part, light)
    return replace(sample, clip=np.ascontiguousarray(clip.transpose(3, 0, 1, 2)), mask=seen > 0)


def _matrix(corner: np.ndarray, side: float, width: int, height: int, size: int) -> np.ndarray:
    """[2,3]: a pixel of the part -> one of the picture, of which corner and side are shares."""
    wide, tall = side * width / size, side * height / size
    shift = corner[0] * width + (wide - 1) / 2, corner[1] * height + (tall - 1) / 2
    return np.array([[wide, 0, shift[0]], [0, tall, shift[1]]], np.float32)


def _light(rng: np.random.Generator) -> np.ndarray:
    """Exposure and tone, a table uint8 [1,256,3]."""
    gain, gamma, tone = rng.uniform(0.7, 1.25), rng.uniform(0.8, 1.25), rng.uniform(0.93, 1.07, 3)
    return np.clip(255 * np.linspace(0, 1, 256)[:, None] ** gamma * gain * tone, 0, 255).astype(np.uint8)[None]
