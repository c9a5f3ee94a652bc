"""Masks painted over an image: each filled with its sentence's colour and outlined. The only painting of masks."""

from __future__ import annotations

import numpy as np
from PIL import Image

# Okabe and Ito's palette, told apart by colour-blind eyes; yellow and black left out.
COLOURS = [(230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (204, 121, 167), (0, 114, 178)]
OPACITY = 0.45

Place = tuple[slice, slice]
Colour = tuple[int, int, int]


def colour_of(index: int) -> Colour:
    """The colour, RGB from 0 to 255, of the sentence with this number, from 0."""
    return COLOURS[index % len(COLOURS)]


def paint(image: np.ndarray, masks: np.ndarray, thickness: int) -> np.ndarray:
    """RGB uint8 [H,W,3] and masks bool [Q,H,W] -> RGB uint8 [H,W,3]; the image is left as it is.

    thickness: of the outlines, in pixels; they lie inside the masks.
    """
    drawn = np.array(image)
    areas = [(colour_of(index), *_cropped(mask)) for index, mask in enumerate(masks) if mask.any()]
    for colour, place, mask in areas:
        blend(drawn, place, colour, Image.fromarray(mask.astype(np.uint8) * np.uint8(round(255 * OPACITY))))
    for colour, place, mask in areas:  # after all fillings, so that none hides another mask's outline
        drawn[place][outline(mask, thickness)] = colour
    return drawn


def outline(mask: np.ndarray, thickness: int = 1) -> np.ndarray:
    """The mask's pixels, bool [H,W], that are within `thickness` steps of one outside it."""
    inside = mask
    for _ in range(thickness):
        padded = np.pad(inside, 1, mode="edge")
        inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & inside
    return mask & ~inside


def blend(drawn: np.ndarray, place: Place, cover: Colour | Image.Image, weight: Image.Image) -> None:
    """Blend `cover`, a colour or a picture, into a part of `drawn`, as far as `weight` says."""
    part = Image.fromarray(np.ascontiguousarray(drawn[place]))
    part.paste(cover, (0, 0, *part.size), weight)
    drawn[place] = part


def _cropped(mask: np.ndarray) -> tuple[Place, np.ndarray]:
    """The smallest part of a mask that holds all of it and one pixel more on each side, and where that is."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    place = (slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2))
    return place, mask[place]
