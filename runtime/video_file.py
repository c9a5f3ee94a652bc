"""A video file as FFmpeg reads and shows it: its film's frames, upright, in RGB, with times that only grow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from cstm.errors import VideoError
from cstm.runtime.frame_times import FrameTimes
from cstm.runtime.frames import Frame, Source
from cstm.runtime.pictures import CUT_ANYWHERE, Pictures, reason
from cstm.runtime.sound import open_sound

DEFAULT_FPS = 25.0
# FFmpeg's numbers for ways from YUV to RGB: those that its scaler knows, and two for which it knows a near one.
BT709, BT601, BT2020 = 1, 5, 9
SPACES = {space: space for space in (0, BT709, 4, BT601, 6, 7, BT2020)} | {10: BT2020}
UNLIKE_YUV = {8: "YCgCo", 11: "YDzDx", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-R", 17: "YCgCo-R"}
# Containers that hold their pictures themselves. Playlists, concatenations and manifests name other files and addresses
# and would open them; FFmpeg's list of protocols alone does not keep them from it.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,apng,png_pipe,webp_pipe,jpeg_pipe,"
    "avif,heif,ivf,h264,hevc,av1,obu,m4v,mjpeg,yuv4mpegpipe,nut,mxf,dv,rm,swf,wtv,wav,mp3,flac,tty,bin,xbin,adf,idf"
)
CLOSED = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
# FFmpeg shows a text file as a film of its characters.
TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}


def open_film(path: Path) -> tuple[InputContainer, VideoStream]:
    """A video file, to be closed, and the film in it. VideoError when FFmpeg cannot read it, or it holds none."""
    try:
        # With the protocol named, a colon in the file's name is not taken for one.
        container = av.open(f"file:{path}", metadata_errors="replace", container_options=CLOSED)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: not a video that FFmpeg can read ({reason(error)}); re-encode it") from error
    try:
        return container, film_of(str(path), container)
    except BaseException:
        container.close()
        raise


def pace(stream: VideoStream) -> float:
    """Average frames a second."""
    return float(stream.guessed_rate or stream.average_rate or DEFAULT_FPS)


def frame_times(container: InputContainer, stream: VideoStream) -> FrameTimes:
    """What gives the film's frames their times."""
    return FrameTimes(pace(stream), joined=container.format.name in CUT_ANYWHERE)


def open_file(path: Path, first: int = 0) -> Source:
    """The film in a video file, whose frames before number `first` are counted, and not given. VideoError when FFmpeg
    cannot read it, or it holds none."""
    container, stream = open_film(path)
    notes: list[str] = []
    upright = Upright(str(path))
    times = frame_times(container, stream)
    return Source(
        str(path),
        _frames(path, Pictures(container, stream), stream.frames, times, upright, notes, first),
        pace(stream),
        stream.frames or None,
        notes,
        container.close,
        pixel_aspect=lambda: upright.shown(stream.sample_aspect_ratio or Fraction(1)),
        sound=lambda: open_sound(path, times.zero, CLOSED),
    )


def film_of(name: str, container: InputContainer) -> VideoStream:
    """The stream to watch; name: the container's, for VideoError where there is none."""
    if container.format.name in TEXT_ART:
        raise VideoError(f"{name}: not a video but text; name another file")
    # The cover picture of a sound file is a video stream too.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise VideoError(f"{name}: not a video, it holds no video stream; name another file")
    film = max(streams, key=lambda stream: _like_a_film(stream, streams))  # the first of the best
    if film.codec_context is None:
        raise VideoError(f"{name}: this PyAV cannot decode its codec; re-encode it, say as H.264")
    return film


def _like_a_film(stream: VideoStream, streams: list[VideoStream]) -> tuple[bool, bool, bool]:
    """How much a stream looks like the film: beside it there may be a still cover, or the alpha plane of an AVIF."""
    alpha = _is_grey(stream) and any(_size(s) == _size(stream) and not _is_grey(s) for s in streams)
    default = bool(stream.disposition & av.stream.Disposition.default)
    return stream.frames != 1, not alpha, default


def _is_grey(stream: VideoStream) -> bool:
    return stream.codec_context is not None and (stream.codec_context.pix_fmt or "").startswith("gray")


def _size(stream: VideoStream) -> tuple[int, int]:
    context = stream.codec_context
    return (0, 0) if context is None else (context.width, context.height)


def _frames(
    path: Path, pictures: Pictures, declared: int, times: FrameTimes, upright: Upright, notes: list[str], first: int
) -> Iterator[Frame]:
    index, time, damaged = 0, 0.0, ""
    for picture in pictures:
        damaged = damaged or _place(index, time) if pictures.passed else ""
        time = times(picture.time)
        if index >= first:
            yield Frame(index, time, upright(picture))
        index += 1
    if damaged:
        what = "a damaged picture" if pictures.passed == 1 else f"{pictures.passed} damaged pictures"
        notes.append(f"{path}: passed over {what}, {damaged} ({pictures.damage})")
        logging.getLogger(__name__).warning(notes[-1])
    if not pictures.loss:
        return
    if not index:
        raise VideoError(f"{path}: holds no frames that can be read ({pictures.loss}); copy or re-encode the file")
    place = f"after frame {index}" + (f" of {declared}" if declared else "") + f" ({time:.1f} s)"
    raise VideoError(
        f"{path}: breaks off {place}: {pictures.loss}; the frames before were read, copy or re-encode the file"
    )


def _place(index: int, time: float) -> str:
    return f"from {time:.1f} s on" if index else "at its start"


class Upright:
    """Decoded pictures as RGB [H,W,3], turned as the file says (phones store videos lying down)."""

    def __init__(self, name: str):
        self._name = name
        self._to_rgb = VideoReformatter()
        self._rotation: int | None = None
        self._matrix: bytes | None = None

    def __call__(self, picture: av.VideoFrame) -> np.ndarray:
        """RGB uint8 [H,W,3]. VideoError where there is no way to it."""
        if picture.colorspace in UNLIKE_YUV:
            raise VideoError(f"{self._name}: its colours are {UNLIKE_YUV[picture.colorspace]}; re-encode it as BT.709")
        # Both named, as PyAV before 17 takes every picture for BT.601, and converts only between two that differ.
        spaces = {"src_colorspace": SPACES.get(picture.colorspace, BT601), "dst_colorspace": BT601}
        try:
            image = self._to_rgb.reformat(picture, format="rgb24", **spaces).to_ndarray()
        except (av.error.FFmpegError, ValueError) as error:
            kind = f"{picture.width}x{picture.height} pixels of {picture.format.name}"
            raise VideoError(
                f"{self._name}: {kind} cannot be turned into RGB ({reason(error)}); re-encode it"
            ) from error
        return np.ascontiguousarray(turned(image, self._matrix_of(picture)))

    def shown(self, pixel_aspect: Fraction) -> Fraction:
        """The width of a pixel by its height, once the latest picture is upright."""
        return 1 / pixel_aspect if self._matrix is not None and _lies(self._matrix) else pixel_aspect

    def _matrix_of(self, picture: av.VideoFrame) -> bytes | None:
        """The display matrix of the first picture, or of the first that is turned otherwise.

        Not of each: a picture whose side data was asked for is in a circle with it (PyAV 18), and so stays in memory
        until Python looks for circles, which may be a gigabyte later.
        """
        if picture.rotation != self._rotation:
            self._rotation = picture.rotation
            matrix = picture.side_data.get("DISPLAYMATRIX")
            self._matrix = None if matrix is None else bytes(matrix)
        return self._matrix


def turned(image: np.ndarray, matrix: bytes | None) -> np.ndarray:
    """The image [H,W,3] as a display matrix shows it: any of the eight ways to turn and mirror it."""
    if matrix is None:
        return image
    a, b, c, d = _signs(matrix)
    if _lies(matrix):
        return image.transpose(1, 0, 2)[:: b or 1, :: c or 1]
    return image[:: d or 1, :: a or 1]


def _lies(matrix: bytes) -> bool:
    """Whether rows and columns change places."""
    a, _, _, d = _signs(matrix)
    return not (a or d)


def _signs(matrix: bytes) -> tuple[int, int, int, int]:
    a, b, _, c, d = np.sign(np.frombuffer(matrix, np.int32)[:5]).tolist()
    return a, b, c, d
