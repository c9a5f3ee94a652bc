"""Video in and out: files, folders of frames and arrays become frames; frames become an H.264 file."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from cstm.errors import MissingDependencyError, VideoError
from cstm.files import atomic_path
from cstm.runtime.pictures import Pictures, reason

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
DEFAULT_FPS = 25.0
# FFmpeg's numbers for the two common ways from YUV to RGB, and for studio range (16 to 235).
BT709, BT601, STUDIO_RANGE = 1, 5, 1
UNSPECIFIED = 2
# Containers that hold their pictures themselves. Playlists, concatenations and manifests name other files and addresses
# and would open them; FFmpeg's list of protocols alone does not keep them from it.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,apng,png_pipe,webp_pipe,jpeg_pipe,"
    "avif,heif,ivf,h264,hevc,av1,obu,m4v,mjpeg,yuv4mpegpipe,nut,mxf,dv,rm,swf,wtv,wav,mp3,flac,tty,bin,xbin,adf,idf"
)
CLOSED = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
# FFmpeg shows a text file as a film of its characters.
TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}


@dataclass(frozen=True)
class Frame:
    """index: from 0. time: seconds since the first frame. image: RGB uint8 [H,W,3]."""

    index: int
    time: float
    image: np.ndarray


class Video:
    """An open video: iterate once, close after. The first frame is read on opening, so that a video with none fails.

    size: (height, width) in pixels. fps: average frames a second. count: declared number of frames, or None.
    VideoError while iterating: a frame of another size, or, after every readable frame, that the video breaks off.
    """

    def __init__(self, name: str, frames: Iterator[Frame], fps: float, count: int | None = None, close=None):
        self.name, self.fps, self.count = name, fps, count
        self._close, self._closed = close, False
        try:
            first = next(frames, None)
            if first is None:
                raise VideoError(f"{name}: holds no frames; check the file, or re-encode it")
        except BaseException:
            self.close()
            raise
        self.size = first.image.shape[:2]
        self._frames = chain([first], frames)

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
            yield frame

    def close(self) -> None:
        """Release the file. May be called again."""
        if self._close and not self._closed:
            self._close()
        self._closed = True

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def open_video(source: str | os.PathLike | Iterable[np.ndarray], fps: float | None = None) -> Video:
    """Open a video file, a folder of images (in natural order of names), or an iterable of RGB uint8 arrays [H,W,3].

    fps: frames a second of a folder or of arrays, 25 by default; a file knows its own.
    VideoError when there is no such file, it is no video, or it holds no frames.
    """
    fps = DEFAULT_FPS if fps is None else fps
    if not (math.isfinite(fps) and fps > 0):
        raise VideoError(f"fps={fps}: must be a positive number of frames a second")
    if not isinstance(source, (str, os.PathLike)):
        if not isinstance(source, Iterable):
            raise VideoError(f"a {type(source).__name__} is no video; give a path, or RGB uint8 arrays [H,W,3]")
        return Video("the given frames", _from_arrays(source, fps), fps)
    path = Path(source)
    if path.is_dir():
        return _open_folder(path, fps)
    if not path.exists():
        raise VideoError(f"{path}: no such file; name a video file or a folder of frames")
    return _open_file(path)


def _open_file(path: Path) -> Video:
    try:
        # With the protocol named, a colon in the file's name is not taken for one.
        container = av.open(f"file:{path}", metadata_errors="replace", container_options=CLOSED)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: not a video that FFmpeg can read ({reason(error)}); re-encode it") from error
    try:
        stream = _video_stream(path, container)
    except BaseException:
        container.close()
        raise
    fps = float(stream.guessed_rate or stream.average_rate or DEFAULT_FPS)
    return Video(str(path), _from_stream(path, container, stream, fps), fps, stream.frames or None, container.close)


def _video_stream(path: Path, container):
    if container.format.name in TEXT_ART:
        raise VideoError(f"{path}: not a video but text; name another file")
    # The cover picture of a sound file is a video stream too.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise VideoError(f"{path}: not a video, it holds no video stream; name another file")
    film = max(streams, key=_like_a_film)  # the first of the best
    if film.codec_context is None:
        raise VideoError(f"{path}: this PyAV cannot decode its codec; re-encode it, say as H.264")
    return film


def _like_a_film(stream) -> tuple[bool, bool, bool]:
    """How much a stream looks like the film: beside it there may be a still cover, or the alpha plane of an AVIF."""
    grey = stream.codec_context is not None and (stream.codec_context.pix_fmt or "").startswith("gray")
    default = bool(stream.disposition & av.stream.Disposition.default)
    return stream.frames != 1, not grey, default


def _from_stream(path: Path, container, stream, fps: float) -> Iterator[Frame]:
    pictures, upright = Pictures(container, stream), _Upright()
    index, start, time = 0, None, 0.0
    for picture in pictures:
        start = picture.time if start is None else start
        step = 1 / fps
        told = None if picture.time is None or start is None else picture.time - start
        # Without a time stamp, or with one that goes back, a frame follows the one before at the usual pace.
        time = 0.0 if not index else told if told is not None and told > time else time + step
        yield Frame(index, time, upright(picture))
        index += 1
    if not pictures.loss:
        return
    if not index:
        raise VideoError(f"{path}: holds no frames that can be read ({pictures.loss}); copy or re-encode the file")
    place = f"after frame {index}" + (f" of {stream.frames}" if stream.frames else "") + f" ({time:.1f} s)"
    raise VideoError(
        f"{path}: breaks off {place}: {pictures.loss}; the frames before were read, copy or re-encode the file"
    )


class _Upright:
    """Decoded pictures as RGB [H,W,3], turned as the file says (phones store videos lying down)."""

    def __init__(self):
        self._to_rgb = VideoReformatter()

    def __call__(self, picture) -> np.ndarray:
        # Both named, as PyAV before 17 takes every picture for BT.601, and converts only between two that differ.
        space = BT601 if picture.colorspace == UNSPECIFIED else picture.colorspace
        image = self._to_rgb.reformat(picture, format="rgb24", src_colorspace=space, dst_colorspace=BT601).to_ndarray()
        return np.ascontiguousarray(_turned(image, picture))


def _turned(image: np.ndarray, picture) -> np.ndarray:
    """The image as the picture's display matrix shows it: any of the eight ways to turn and mirror it."""
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.sign(np.frombuffer(bytes(matrix), np.int32)[:5])
    if a or d:
        return image[:: d or 1, :: a or 1]
    return image.transpose(1, 0, 2)[:: b or 1, :: c or 1]


def _open_folder(path: Path, fps: float) -> Video:
    files = sorted((p for p in path.iterdir() if p.suffix.lower() in IMAGES and p.name[0] != "."), key=_natural)
    if not files:
        raise VideoError(f"{path}: holds no images ({', '.join(sorted(IMAGES))}); name a folder of frames")
    return Video(str(path), _from_images(files, fps), fps, len(files))


def _from_images(files: list[Path], fps: float) -> Iterator[Frame]:
    from PIL import Image, ImageOps

    for index, file in enumerate(files):
        try:
            with Image.open(file) as image:
                yield Frame(index, index / fps, _rgb(ImageOps.exif_transpose(image)))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(f"{file}: not an image that can be read; remove it or save it again") from error


def _rgb(image) -> np.ndarray:
    """A Pillow image as RGB uint8 [H,W,3]. 16-bit grey (thermal, depth) keeps its upper 8 bits, where Pillow clips."""
    if image.mode.startswith("I"):
        upper = (np.clip(np.array(image, np.int64), 0, 65535) >> 8).astype(np.uint8)
        return np.repeat(upper[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _from_arrays(arrays: Iterable[np.ndarray], fps: float) -> Iterator[Frame]:
    for index, array in enumerate(arrays):
        shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
        if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or not all(shape):
            raise VideoError(f"frame {index} is {dtype} {shape}; give RGB uint8 arrays of shape [H,W,3]")
        yield Frame(index, index / fps, np.array(array))  # a copy: cameras reuse their buffers


class VideoWriter:
    """Writes RGB frames to an H.264 mp4 file, which appears when the block ends and not at all when it fails.

    size: (height, width) in pixels; odd sides lose their last row or column, as 4:2:0 video needs even ones.
    crf: x264's quality, from 0 (lossless) to 51.
    MissingDependencyError when PyAV lacks libx264; VideoError when no frame was written or the disk refuses.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: float, crf: int = 20):
        if "libx264" not in av.codecs_available:
            raise MissingDependencyError("this PyAV lacks libx264; pip install av from a wheel")
        self.path, self.fps = Path(path), max(Fraction(fps).limit_denominator(10_000), Fraction(1, 10_000))
        self.height, self.width = (side - side % 2 or 2 for side in size)
        self.crf, self._written = crf, 0

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack, self._video_error():
            temporary = stack.enter_context(atomic_path(self.path))
            options = {"movflags": "faststart"}
            self._container = stack.enter_context(av.open(f"file:{temporary}", "w", format="mp4", options=options))
            self._stream = self._container.add_stream("libx264", rate=self.fps, options={"crf": str(self.crf)})
            self._stream.width, self._stream.height, self._stream.pix_fmt = self.width, self.height, "yuv420p"
            # Players take untagged video for BT.601 or BT.709 as they see fit.
            context = self._stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = STUDIO_RANGE
            self._stack = stack.pop_all()
        return self

    def write(self, image: np.ndarray) -> None:
        """Append a frame, RGB uint8 [H,W,3] of the writer's size; VideoError on another."""
        even = np.ascontiguousarray(image[: self.height, : self.width])
        if even.dtype != np.uint8 or even.shape != (self.height, self.width, 3):
            raise VideoError(
                f"{self.path}: frame {self._written} is {image.dtype} {image.shape}; give RGB uint8 [H,W,3] of one size"
            )
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        with self._video_error():
            frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=STUDIO_RANGE)
            frame.pts, frame.time_base = self._written, 1 / self.fps
            self._container.mux(self._stream.encode(frame))
        self._written += 1

    def __exit__(self, *failure) -> None:
        # Whatever is raised here, or in closing the container, leaves through atomic_path, which removes the file.
        with self._video_error(), self._stack as stack:
            if failure[0] is not None:
                stack.__exit__(*failure)
            elif not self._written:
                raise VideoError(f"{self.path}: no frame was written; write at least one")
            else:
                self._container.mux(self._stream.encode())

    @contextmanager
    def _video_error(self):
        try:
            yield
        except av.error.FFmpegError as error:
            raise VideoError(f"{self.path}: cannot be written ({reason(error)}); check the folder and disk") from error


def _natural(path: Path) -> list:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
