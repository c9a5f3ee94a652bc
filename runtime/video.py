"""Video in: files, folders of frames and arrays become frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice
from numbers import Real
from types import TracebackType

import numpy as np
from PIL import Image

from cstm.errors import CSTMError, VideoError
from cstm.files import as_path
from cstm.runtime.frames import Frame, Source
from cstm.runtime.sound import Sound
from cstm.runtime.video_file import DEFAULT_FPS, open_file
from cstm.runtime.video_folder import IMAGES, as_rgb, open_folder

__all__ = ["IMAGES", "Frame", "Video", "open_video"]

SLOWEST, FASTEST = 1e-6, 1e6  # frames a second
FILES = "a video file, or a folder of frames"

Watched = str | os.PathLike[str] | Iterable[np.ndarray | Image.Image]  # what can be opened as a video


class Video:
    """An open video: iterate once, close after. The first frame is read on opening, so that a video with none fails.

    size: (height, width) in pixels. fps: average frames a second. count: declared number of frames, or None.
    end: seconds until which the last frame given so far is shown. notes: what was passed over, a line each; complete
    after the last frame. targets: the numbers of the frames that are to be segmented, where the others are there for
    these ones' clips; None for all.
    VideoError while iterating: a frame of another size, or, after every readable frame, that the video breaks off.
    """

    def __init__(self, source: Source):
        self.name, self.fps, self.count, self.notes = source.name, source.fps, source.count, source.notes
        self.targets, self.end = source.targets, 0.0
        self._source, self._closed = source, False
        try:
            first = next(source.frames, None)
            if first is None:
                raise VideoError(f"{self.name}: holds no frames; check the file, or re-encode it")
        except BaseException:
            self.close()
            raise
        self.size: tuple[int, int] = first.image.shape[:2]
        self._frames = chain([first], source.frames)

    def __iter__(self) -> Iterator[Frame]:
        while True:
            if self._closed:  # FFmpeg would crash the process
                raise VideoError(f"{self.name}: was closed; open it again")
            frame = next(self._frames, None)
            if frame is None:
                return
            if frame.image.shape[:2] != self.size:
                found, first = (f"{w}x{h}" for h, w in (frame.image.shape[:2], self.size))
                raise VideoError(f"{self.name}: frame {frame.index} is {found}, the first {first}; make them one size")
            self.end = frame.time + 1 / self.fps
            yield frame

    @property
    def pixel_aspect(self) -> Fraction:
        """The width of a pixel as it is shown, by its height: 1 but for films made for television."""
        return self._source.pixel_aspect()

    def open_sound(self) -> Sound | None:
        """The sound from the first frame on, to be closed by itself; None where there is none."""
        return self._source.sound()

    def close(self) -> None:
        """Release the file. May be called again."""
        if not self._closed:
            self._source.close()
        self._closed = True

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_video(source: Watched, fps: float | None = None, first: int = 0) -> Video:
    """Open a video file, a folder of images (in natural order of names), or an iterable of frames: RGB uint8 arrays
    [H,W,3] or Pillow images.

    fps: frames a second of a folder or of given frames, 25 by default; a file knows its own. first: the number of the
    first frame to be given; those before it are counted.
    VideoError when there is no such file, it is no video, or it holds no frames.
    """
    pace = DEFAULT_FPS if fps is None else checked_pace("fps", fps, VideoError)
    if isinstance(source, (str, os.PathLike)):
        return Video(_open_path(source, pace, first))
    return Video(Source("the given frames", islice(_given(_iterator(source), pace), first, None), pace))


def checked_pace(name: str, fps: object, error: type[CSTMError]) -> float:
    """`fps` as a number; `error`, which names it `name`, when it is no possible pace."""
    wanted = f"give a number of frames a second, from {SLOWEST:g} to {FASTEST:g}"
    if isinstance(fps, (bool, np.timedelta64)) or not isinstance(fps, Real):
        raise error(f"{name} is a {type(fps).__name__}; {wanted}")
    try:
        pace = float(fps)
    except OverflowError:  # a whole number too large for it
        pace = float("inf")
    if not SLOWEST <= pace <= FASTEST:
        raise error(f"{name}={pace:g}; {wanted}")
    return pace


def _open_path(source: str | os.PathLike[str], fps: float, first: int) -> Source:
    path = as_path(source, VideoError, FILES)
    if not path.exists():
        raise VideoError(f"{path}: no such file; name {FILES}")
    return open_folder(path, fps, first) if path.is_dir() else open_file(path, first)


def _iterator(source: Iterable[np.ndarray | Image.Image]) -> Iterator[np.ndarray | Image.Image]:
    try:
        if not isinstance(source, (bytes, bytearray)):
            return iter(source)
    except TypeError:
        pass
    kind = type(source).__name__
    raise VideoError(f"a {kind} is no video; give a path, or a list of RGB uint8 arrays [H,W,3] or Pillow images")


def _given(frames: Iterator[np.ndarray | Image.Image], fps: float) -> Iterator[Frame]:
    for index, given in enumerate(frames):
        yield Frame(index, index / fps, _image(index, given))


def _image(index: int, given: np.ndarray | Image.Image) -> np.ndarray:
    if isinstance(given, Image.Image):
        return as_rgb(f"frame {index}", given)
    found = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else f"a {type(given).__name__}"
    if not isinstance(given, np.ndarray) or given.dtype != np.uint8 or given.shape[2:] != (3,) or not given.size:
        raise VideoError(f"frame {index} is {found}; give RGB uint8 arrays of shape [H,W,3], or Pillow images")
    return np.array(given)  # a copy: cameras reuse their buffers
