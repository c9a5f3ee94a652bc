"""A part of a video, its frames numbered and timed as in the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import dropwhile, islice
from pathlib import Path

import av

from cstm.errors import VideoError
from cstm.runtime.frames import Frame, Source
from cstm.runtime.pictures import reason
from cstm.runtime.video import Video, open_video
from cstm.runtime.video_file import Upright, open_film
from cstm.runtime.video_index import Stamps, VideoIndex


def open_part(
    index: VideoIndex,
    numbers: range,
    targets: range | None = None,
    seen: Callable[[Frame], None] = lambda frame: None,
) -> Video:
    """The frames of these numbers, each exactly as reading the video from its start gives it.

    targets: as `Video` has them. seen: is called with each frame.
    VideoError, on opening or while iterating, when the file does not hold what its index says; unless frames were
    counted for it, they then have to be (`index_video`).
    """
    if not 0 <= numbers.start < numbers.stop <= len(index):
        raise VideoError(f"{index.path}: has no frames {numbers.start} to {numbers.stop}, only {len(index)}")
    frames: Iterable[Frame]
    if index.stamps is None:
        fps = index.fps if Path(index.path).is_dir() else None
        whole = open_video(index.path, fps, first=numbers.start)
        frames, close = islice(whole, len(numbers)), whole.close
    else:
        part = _FromKey(index, index.stamps, numbers)
        frames, close = iter(part), part.close
    checked = _checked(index, numbers, frames, seen)
    return Video(Source(index.path, checked, index.fps, len(numbers), close=close, targets=targets))


def _unlike(index: VideoIndex, what: str) -> VideoError:
    return VideoError(f"{index.path}: is not as its index says: {what}")


def _checked(
    index: VideoIndex, numbers: range, frames: Iterable[Frame], seen: Callable[[Frame], None]
) -> Iterator[Frame]:
    number = numbers.start
    for frame in frames:
        if frame.image.shape[:2] != index.size:
            raise _unlike(index, f"frame {frame.index} is of another size")
        seen(frame)
        yield frame
        number += 1
    if number < numbers.stop:
        raise _unlike(index, f"it ends at frame {number}")


class _FromKey:
    """Iterates once over frames of a file, decoded from the key picture before them.

    Stricter than reading the whole, which passes over damage: any is a VideoError, as is a picture too many or too few
    from the key picture on.
    """

    def __init__(self, index: VideoIndex, stamps: Stamps, numbers: range):
        self._index, self._stamps, self._numbers = index, stamps, numbers
        self._key = stamps.keys[stamps.keys[:, 0] <= numbers.start][-1]
        self._upright = Upright(index.path)
        self._container, self._stream = open_film(Path(index.path))

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        number, stamps = int(self._key[0]), self._stamps.frames
        for picture in self._pictures():
            if number == len(stamps) or picture.pts != stamps[number]:
                raise _unlike(self._index, f"frame {number} is another picture")
            if number in self._numbers:
                yield Frame(number, float(self._index.times[number]), self._upright(picture))
            number += 1
            if number == self._numbers.stop < len(stamps):  # at the very end, nothing may follow
                return

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """Of the key picture's packet and those after it, but for what is shown before it: decoders leave out what was
        predicted from pictures that they have not seen."""
        stamp = self._key[1]
        try:
            for packet in self._packets():
                for picture in packet.decode():
                    if picture.is_corrupt or (picture.pts == stamp and not picture.key_frame):
                        raise _unlike(self._index, "a picture is damaged")
                    yield picture
        except av.error.FFmpegError as error:
            raise _unlike(self._index, reason(error)) from error

    def _packets(self) -> Iterator[av.Packet]:
        """From the key picture's on."""
        _, stamp, sent = map(int, self._key)
        for skipped in [True, False] if sent > self._stamps.keys[0, 2] else [False]:
            if skipped:
                with suppress(av.error.FFmpegError):  # as where there is no way to
                    self._container.seek(sent, stream=self._stream)
            packets = dropwhile(lambda p: p.pts != stamp or not p.is_keyframe, self._container.demux(self._stream))
            key = next(packets, None)
            if key is not None:
                yield key
                yield from packets
                return
            self.close()  # where seeking went too far, packets are passed over from the start
            self._container, self._stream = open_film(Path(self._index.path))
        raise _unlike(self._index, "a key picture is missing")
