"""Which frames a video has, found without decoding it wherever its file can be trusted, so that parts can be read.

A file's packets say when each picture is shown and which are key pictures: sorted by their times they are the frames.
That holds if the pictures of every part are those that the index names (`video_part` looks, `parts` joins). Where the
packets themselves leave doubt, or a part did not fit, frames are counted by reading the video once.
"""

from __future__ import annotations

import logging
from array import array
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path

import av
import numpy as np

from cstm.errors import VideoError
from cstm.runtime.pictures import end_of, reason, shortfall
from cstm.runtime.video import Video, open_video
from cstm.runtime.video_file import frame_times, open_film


@dataclass(frozen=True)
class Stamps:
    """What a film's packets say, in the stream's ticks.

    frames: int64 [N], when each frame is shown. keys: int64 [K,3], of each key picture the number of the first frame
    that is shown with it or later, its presentation and its decoding stamp.
    """

    frames: np.ndarray
    keys: np.ndarray


@dataclass(frozen=True)
class VideoIndex:
    """What reading a video from its start gives, but for the pictures. Small; made once, and sent to other processes.

    path: as others find it too. fps: frames a second, on average. size: (height, width). times: float64 [N], the
    frames' times in seconds.
    stamps: of a file whose parts are read from the key picture before them; None where they are read from its start,
    by counting, and for a folder.
    counted: whether every frame was read once; if not, a part that does not fit says so (VideoError).
    broken: why the video breaks off after the last frame, known where frames were counted.
    """

    path: str
    fps: float
    size: tuple[int, int]
    times: np.ndarray
    stamps: Stamps | None = None
    counted: bool = False
    broken: VideoError | None = None

    def __len__(self) -> int:
        return len(self.times)

    @property
    def reads_from_start(self) -> bool:
        """Whether a part is found only by reading all before it."""
        return self.stamps is None and not Path(self.path).is_dir()


def index_video(path: str | PathLike[str], fps: float | None = None, counted: bool = False) -> VideoIndex:
    """The index of a video file or a folder of frames.

    fps: of a folder, as `open_video` has it. counted: read every frame in any case, which costs as much as decoding the
    video. VideoError as `open_video`'s; that a video breaks off is in the index.
    """
    with open_video(path, fps) as video:
        if not counted and Path(path).is_dir():
            return VideoIndex(str(path), video.fps, video.size, np.arange(video.count or 0) / video.fps)
        if not counted:
            try:
                return _stamped(Path(path), video)
            except _DoubtError as doubt:
                logging.getLogger(__name__).info("%s: %s: its frames are counted by decoding them", path, doubt)
        return _counted(str(path), video)


def _counted(path: str, video: Video) -> VideoIndex:
    times, broken = array("d"), None
    try:
        times.extend(frame.time for frame in video)
    except VideoError as error:
        broken = error
    return VideoIndex(path, video.fps, video.size, np.array(times), counted=True, broken=broken)


class _DoubtError(Exception):
    """Why a file's packets do not tell its frames."""


def _stamped(path: Path, video: Video) -> VideoIndex:
    """The index by a file's packets."""
    container, stream = open_film(path)
    with container:
        packets = _Packets()
        try:
            for packet in container.demux(stream):
                if packet.size:  # not the empty one at the end
                    packets.add(packet)
        except av.error.FFmpegError as error:
            raise _DoubtError(reason(error)) from error
        if loss := shortfall(container, stream, packets.reached):
            raise _DoubtError(loss)
        stamps, keys = packets.stamps(), np.array(packets.keys, np.int64).reshape(-1, 2)
        # As PyAV makes seconds of a picture's stamp.
        num, den = (stream.time_base or Fraction(1)).as_integer_ratio()
        times = np.array([*map(frame_times(container, stream), (float(stamp) * num / den for stamp in stamps))])
    keys = np.insert(keys[np.argsort(keys[:, 0])], 0, 0, axis=1)
    keys[:, 0] = np.searchsorted(stamps, keys[:, 1])
    return VideoIndex(str(path), video.fps, video.size, times, Stamps(stamps, keys))


class _Packets:
    """What a film's packets say, in the file's order. _DoubtError where that is not when each picture is shown.

    keys: (presentation, decoding stamp) of each key picture. reached: seconds at which the last picture ends.
    """

    def __init__(self) -> None:
        self.keys: list[tuple[int, int]] = []
        self.reached = 0.0
        self._shown, self._hidden = array("q"), array("q")
        self._sent: int | None = None

    def add(self, packet: av.Packet) -> None:
        """The next."""
        if packet.is_corrupt:
            raise _DoubtError("a packet is damaged")
        if packet.pts is None:
            raise _DoubtError("a packet does not say when it is shown")
        if packet.dts is not None:
            if self._sent is not None and packet.dts < self._sent:
                raise _DoubtError("its clock goes back")
            self._sent = packet.dts
        if packet.is_keyframe:
            self.keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        elif not self.keys:
            raise _DoubtError("it starts between two key pictures")
        # An edit list hides pictures that others are predicted from.
        (self._hidden if packet.is_discard else self._shown).append(packet.pts)
        self.reached = max(self.reached, end_of(packet))

    def stamps(self) -> np.ndarray:
        """The frames' presentation stamps, int64 [N], in the order in which they are shown."""
        if not self._shown:
            raise _DoubtError("it shows no picture")
        every = np.concatenate([self._shown, self._hidden])
        if len(np.unique(every)) < len(every):
            raise _DoubtError("two packets are shown at the same time")
        return np.sort(np.array(self._shown, np.int64))
