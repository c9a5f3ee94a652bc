"""A live source, read for as long as it is wanted: opened, watched, and opened again where it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import av
import numpy as np
from av.container import InputContainer

from cstm.errors import CSTMError, VideoError
from cstm.runtime.live.address import Address
from cstm.runtime.live.captured import CaptureClock, Captured
from cstm.runtime.pictures import Pictures, reason
from cstm.runtime.video_file import Upright, film_of, frame_times, pace

LOGGER = logging.getLogger(__name__)
SOONEST = 1e-3  # seconds between the times of two frames
INTERRUPTED = "Immediate exit requested"  # as FFmpeg calls it, when a time limit is over


@dataclass(frozen=True)
class Limits:
    """Seconds. open: until the first packet. read: between two packets; a source that is silent for longer is lost.
    pause: before it is opened again, doubled each time up to longest_pause. give_up: of trying in vain, after which the
    loss is an error; None: never."""

    open: float = 5.0
    read: float = 2.0
    pause: float = 0.25
    longest_pause: float = 2.0
    give_up: float | None = None


class Camera:
    """Iterate once, in any thread: an iterator for each connection, and for each size of frames; `stop` ends it from
    another, within the limits.

    name: the address as it may be told. fps: of the latest connection, or None before the first. connected: whether
    frames come. losses: how often they ceased to come.
    VideoError while iterating, once it could not be opened for `limits.give_up` seconds.
    """

    def __init__(self, address: Address, limits: Limits | None = None):
        self.address, self.limits, self.name = address, limits or Limits(), address.shown
        self.fps: float | None = None
        self.connected, self.losses = False, 0
        self._stopped = threading.Event()
        self._index, self._connection = 0, 0
        self._start: float | None = None
        self._time = -SOONEST
        self._why: str | None = None
        self._pause, self._came = self.limits.pause, 0.0

    def stop(self) -> None:
        """No frame follows the one that is being read."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Iterator[Captured]]:
        self._came = time.monotonic()
        while not self._stopped.is_set():
            for _, frames in groupby(self._until_lost(), key=attrgetter("connection")):
                yield frames
            self._check_given_up()
            self._stopped.wait(self._pause)
            self._pause = min(2 * self._pause, self.limits.longest_pause)

    def _until_lost(self) -> Iterator[Captured]:
        """The frames until the source is lost; why is logged."""
        try:
            for frame in self._opened():
                self._pause, self._came = self.limits.pause, time.monotonic()
                yield frame
                if self._stopped.is_set():
                    return
            why = "it ended"
        except CSTMError as error:
            why = str(error)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            why = self.address.hide(reason(error))
        if self.connected:
            self.connected, self.losses, self._why = False, self.losses + 1, None
        self._tell_of_loss(why)

    def _check_given_up(self) -> None:
        patience = self.limits.give_up
        if patience is not None and time.monotonic() - self._came > patience:
            raise VideoError(f"{self.name}: not to be had for {patience:g} s ({self._why}); see to the camera")

    def _tell_of_loss(self, why: str) -> None:
        """Once, however often it is tried again in vain, unless it fails otherwise."""
        why = why.replace(INTERRUPTED, "it is silent")
        if why != self._why and not self._stopped.is_set():
            LOGGER.warning("%s: not to be had (%s); tried again until it is", self.name, why)
        self._why = why

    def _opened(self) -> Iterator[Captured]:
        """The frames of a connection."""
        address, limits = self.address, self.limits
        with closing(
            av.open(
                address.url,
                format=address.form,
                options=address.options,
                metadata_errors="replace",
                timeout=(limits.open, limits.read),
            )
        ) as container:
            yield from self._frames(container)

    def _frames(self, container: InputContainer) -> Iterator[Captured]:
        stream = film_of(self.name, container)
        stream.thread_type = "SLICE"  # threads for frames hold back as many frames
        self.fps = pace(stream)
        times = frame_times(container, stream)
        upright, clock, size = Upright(self.name), CaptureClock(), None
        pictures = Pictures(container, stream)
        for picture in pictures:
            came = time.monotonic()
            image = upright(picture)
            if image.shape != size:
                self._connection, size = self._connection + 1, image.shape
            if not self.connected:
                self.connected = True
                LOGGER.info("%s: %dx%d at %.3g frames/s", self.name, image.shape[1], image.shape[0], self.fps)
            yield self._captured(image, clock(times(picture.time), came))
        if pictures.loss:
            raise VideoError(pictures.loss)

    def _captured(self, image: np.ndarray, at: float) -> Captured:
        self._start = at if self._start is None else self._start
        # A frame that comes sooner after its stamp than any before sets the clock back.
        self._time = max(at - self._start, self._time + SOONEST)
        frame = Captured(self._index, self._time, image, at, self._connection)
        self._index += 1
        return frame
