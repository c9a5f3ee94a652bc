"""Responses without what lasts for less than a few frames."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator

import numpy as np

from cstm.errors import RequestError, VideoError
from cstm.runtime.video import Frame


def check_smoothing(count: int) -> None:
    """RequestError unless `count` frames can be smoothed over."""
    if type(count) is not int or count < 1 or count % 2 == 0:
        raise RequestError(f"smoothing={reprlib.repr(count)}: must be an odd number of frames, such as 3")


def smooth(responses: Iterable[tuple[Frame, np.ndarray]], count: int) -> Iterator[tuple[Frame, np.ndarray]]:
    """Each frame with the median, element by element, of its response, float32 of any one shape, and its neighbours'.

    count: frames in it, odd; 1 changes nothing. A frame comes count // 2 later than it is given. Near an end the median
    is of as many on each side as there are. When the source raises VideoError, the frames before come first.
    """
    reach, place, broken = count // 2, 0, None
    held: list[tuple[Frame, np.ndarray]] = []
    try:
        for response in responses:
            held.append(response)
            if len(held) > place + reach:
                yield _median(held, place, reach)
                if place == reach:
                    del held[0]
                else:
                    place += 1
    except VideoError as error:
        broken = error
    for late in range(place, len(held)):
        yield _median(held, late, reach)
    if broken:
        raise broken


def _median(held: list[tuple[Frame, np.ndarray]], place: int, reach: int) -> tuple[Frame, np.ndarray]:
    near = min(reach, place, len(held) - 1 - place)
    frame, own = held[place]
    around = [response for _, response in held[place - near : place + near + 1]]
    return frame, np.median(around, axis=0) if near else own
