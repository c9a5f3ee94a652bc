"""Masks painted over an image: filled half with their sentence's colour, and outlined. The only painting of masks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cstm.runtime.boxes import Box, bounding_box

# Okabe and Ito's palette, told apart by colour-blind eyes; yellow and black left out.
COLOURS = [(230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (204, 121, 167), (0, 114, 178)]
PIXEL = np.dtype("V3")  # as one value; drawing is much of a frame's time

Place = tuple[slice, slice]
Colour = tuple[int, int, int]


def colour_of(index: int) -> Colour:
    """The colour, RGB from 0 to 255, of the sentence with this number, from 0."""
    return COLOURS[index % len(COLOURS)]


def paint(image: np.ndarray, masks: np.ndarray, thickness: int) -> np.ndarray:
    """RGB uint8 [H,W,3] and masks bool [Q,H,W] -> RGB uint8 [H,W,3]; the image is left as it is.

    thickness: of the outlines, in pixels; they lie inside the masks.
    """
    drawn = np.array(image, order="C")
    paint_onto(drawn, masks, thickness)
    return drawn


def paint_onto(drawn: np.ndarray, masks: Iterable[np.ndarray], thickness: int) -> None:
    """As `paint`, on the image itself, whose rows must lie one after the other in memory."""
    pixels = drawn.view(PIXEL)[..., 0]
    found = ((colour_of(index), mask, bounding_box(mask)) for index, mask in enumerate(masks))
    areas = [(colour, *_cropped(mask, box)) for colour, mask, box in found if box]
    for colour, place, mask in areas:
        filled = _mean(drawn[place], colour).view(PIXEL)[..., 0]
        np.copyto(pixels[place], filled, where=mask)
    for colour, place, mask in areas:  # after all fillings, so that none hides another mask's outline
        np.copyto(pixels[place], np.array(colour, np.uint8).view(PIXEL), where=outline(mask, thickness))


def outline(mask: np.ndarray, thickness: int = 1) -> np.ndarray:
    """The mask's pixels, bool [H,W], that are within `thickness` steps of one outside it."""
    inside = mask
    for _ in range(thickness):
        before, inside = inside, inside.copy()
        inside[1:] &= before[:-1]
        inside[:-1] &= before[1:]
        inside[:, 1:] &= before[:, :-1]
        inside[:, :-1] &= before[:, 1:]
    return mask & ~inside


def _mean(image: np.ndarray, colour: Colour) -> np.ndarray:
    """Of an image [h,w,3] and a colour, rounded down: what they share, and half of the rest."""
    rows = image.reshape(len(image), -1)  # numpy is slow along axes of three
    covers = np.tile(np.array(colour, np.uint8), image.shape[1])
    half = rows ^ covers
    half >>= 1
    half += rows & covers
    return half.reshape(image.shape)


def _cropped(mask: np.ndarray, box: Box) -> tuple[Place, np.ndarray]:
    """The part of a mask that is in its box and one pixel more on each side, and where that is."""
    top, left, bottom, right = box
    place = (slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1))
    return place, mask[place]
