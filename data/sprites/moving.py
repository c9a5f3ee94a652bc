"""Actors cut out of real videos frame by frame: real gaits and deformations, for `data.sprites.cutouts`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cstm.data.real import read_frame
from cstm.data.sprites.cutouts import SIDE
from cstm.data.tables import read_rows
from cstm.files import atomic_folder

ACTORS = "actors.csv"
MARGIN = 1.12  # side of the square around an actor, in lengths of its box
FEWEST, SMALLEST = 12, 200  # frames of a cut-out actor, pixels of it in each
SMOOTH = 7  # frames over which the square's place and side are averaged: what is faster is the actor's own motion

Box = tuple[int, int, int, int]  # left, top, right, bottom


def write_moving(root: Path, out: Path) -> list[Path]:
    """Cut the actors out of the real videos in `root` (see `data.real`) into new folders of `out`; those folders.

    `root`/actors.csv says of whom (sequence, actor: what a cut-out's name says before the "_", such as dog-walking).
    Of each video the longest part is taken in which the whole actor is within the picture; from those where that is
    short, nothing. DatasetError when a file is missing or broken.
    """
    made = []
    for sequence, actor in read_rows(root / ACTORS, 2)[1:]:
        frames, masks = (sorted((root / sequence / kind).iterdir()) for kind in ("frames", "masks"))
        boxes = [_box(read_frame(file, cv2.IMREAD_GRAYSCALE)) for file in masks]
        part = _longest(boxes)
        if len(part) >= FEWEST:
            made.append(out / f"{actor}_{sequence}")
            with atomic_folder(made[-1]) as folder:
                _write(folder, frames[part.start : part.stop], masks[part.start : part.stop], boxes[part.start :])
    return made


def _box(mask: np.ndarray) -> Box | None:
    """Around what is white in uint8 [H,W], or None where there is little of it, or it touches the border."""
    left, top, width, height = cv2.boundingRect(mask)
    rows, columns = mask.shape
    inside = left > 0 and top > 0 and left + width < columns and top + height < rows
    return (left, top, left + width, top + height) if inside and cv2.countNonZero(mask) >= SMALLEST else None


def _longest(boxes: list[Box | None]) -> range:
    """The longest run of boxes."""
    best, start = range(0), 0
    for number, box in enumerate([*boxes, None]):
        if box is None:
            best = max(best, range(start, number), key=len)
            start = number + 1
    return best


def _write(folder: Path, frames: list[Path], masks: list[Path], boxes: list[Box | None]) -> None:
    """RGBA frames of SIDE pixels, in which the actor keeps its place and its size but for what it does itself."""
    edges = np.array(boxes[: len(frames)], float)
    centres = _smoothed((edges[:, :2] + edges[:, 2:]) / 2)
    sides = MARGIN * _smoothed((edges[:, 2:] - edges[:, :2]).max(1, keepdims=True))[:, 0]
    for number, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        alpha = cv2.GaussianBlur(read_frame(mask, cv2.IMREAD_GRAYSCALE), (0, 0), 0.7)
        picture = np.dstack([read_frame(frame, cv2.IMREAD_COLOR), alpha])
        scale = min(SIDE / sides[number], 1.0)
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        zoom = SIDE / sides[number] / scale
        shift = SIDE / 2 - zoom * scale * centres[number]
        square = cv2.warpAffine(small, np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]]), (SIDE, SIDE))
        cv2.imwrite(str(folder / f"{number:05d}.webp"), square, [cv2.IMWRITE_WEBP_QUALITY, 90])


def _smoothed(values: np.ndarray) -> np.ndarray:
    """[N,K], averaged over SMOOTH neighbours; past the ends it goes on as it went."""
    padded = np.pad(values, ((SMOOTH // 2, SMOOTH // 2), (0, 0)), mode="reflect", reflect_type="odd")
    return np.stack([padded[k : k + len(values)] for k in range(SMOOTH)]).mean(0)
