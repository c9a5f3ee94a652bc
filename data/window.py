"""From a video and a target frame to a clip: which frames it holds, and their pixels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cstm.errors import DatasetError, RequestError, VideoError
from cstm.models.config import CSTMConfig
from cstm.runtime.preprocess import clip_indices, resize
from cstm.runtime.video import IMAGES, open_video

CENTRED, AUTHORS = "centred", "authors"
MEMORY = 256 * 2**20  # bytes of decoded video to keep: about six clips of A2D at 320 pixels
SAME_SHAPE = 0.02  # how far, as a share, sides may differ: codecs want even ones


def window_indices(target: int, count: int | None, frames: int, stride: int, window: str = CENTRED) -> list[int]:
    """Numbers, from 0, of the frames in the clip of `target`, in a video of `count` frames (None: no end known).

    "centred" is `clip_indices`. "authors" is their loader's, which starts at the video's first frame where it would
    start before it: early in a video, their middle frame is not the target. Past the end, both repeat the last.
    RequestError for another window, no frames or no stride.
    """
    if frames < 1 or stride < 1:
        raise RequestError(f"frames={frames}, stride={stride}: a clip needs at least one frame, and steps of one")
    if window == CENTRED:
        return clip_indices(target, count, frames, stride)
    if window != AUTHORS:
        raise RequestError(f'window="{window}": there are "{CENTRED}" and "{AUTHORS}"')
    first = max(target - stride * (frames // 2), 0)
    last = float("inf") if count is None else count - 1
    return [int(min(first + stride * k, last)) for k in range(frames)]


class Clips:
    """Clips of video files and of folders of numbered images. The last few videos stay decoded, at the clips' size."""

    def __init__(
        self, size: int, frames: int = CSTMConfig.frames, stride: int = CSTMConfig.stride, window: str = CENTRED
    ):
        if size < 1:
            raise RequestError(f"size={size}: must be a positive number of pixels")
        window_indices(0, None, frames, stride, window)
        self.size, self.frames, self.stride, self.window = size, frames, stride, window
        self._kept: dict[Path, _Decoded] = {}

    def __call__(self, path: Path, target: int) -> np.ndarray:
        """The clip around frame `target`, RGB uint8 [3,T,R,R]; a target just past the end is taken for the last frame.

        VideoError when the video breaks off before the clip's end; DatasetError when it ends before the clip's start.
        """
        pixels, loss, _ = self._decoded(path)
        count = len(pixels)
        wished = self._indices(target, None)
        if loss and wished[-1] >= count:
            raise VideoError(loss)
        if wished[0] >= count:
            raise DatasetError(f"{path}: ends after frame {count}, but frame {target + 1} is annotated; copy it again")
        chosen = pixels[self._indices(min(target, count - 1), count)]
        return np.ascontiguousarray(chosen.transpose(3, 0, 1, 2))

    def check_mask(self, path: Path, mask: np.ndarray, source: Path) -> None:
        """DatasetError unless `mask` [H,W], of the file `source`, has the video's shape, but for a rounded side."""
        height, width = self._decoded(path).size
        if abs(mask.shape[0] * width - mask.shape[1] * height) > SAME_SHAPE * mask.shape[0] * width:
            found, wanted = f"{mask.shape[1]}x{mask.shape[0]}", f"{width}x{height}"
            raise DatasetError(f"{source}: its masks are {found}, {path} is {wanted}; copy both from one release")

    def _indices(self, target: int, count: int | None) -> list[int]:
        return window_indices(target, count, self.frames, self.stride, self.window)

    def _decoded(self, path: Path) -> _Decoded:
        video = self._kept.pop(path, None) or _decode(path, self.size)
        self._kept[path] = video
        while len(self._kept) > 1 and sum(kept.pixels.nbytes for kept in self._kept.values()) > MEMORY:
            del self._kept[next(iter(self._kept))]
        return video


class _Decoded(NamedTuple):
    pixels: np.ndarray  # uint8 [N,R,R,3]
    loss: str | None  # why the video broke off after them
    size: tuple[int, int]  # the video's own, (H, W)


def _decode(path: Path, size: int) -> _Decoded:
    images, loss = [], None
    with open_video(path) as video:
        try:
            for frame in video:
                images.append(resize(frame.image, size))
        except VideoError as error:
            if not images:
                raise
            loss = str(error)
    if video.notes and not path.is_dir():  # pictures were passed over: those that follow have other numbers
        raise DatasetError(f"{video.notes[0]}; its frames can no longer be told by number, copy it again")
    if path.is_dir() and not loss:
        _check_numbers(path, len(images))
    return _Decoded(np.stack(images), loss, video.size)


def _check_numbers(folder: Path, count: int) -> None:
    """DatasetError when an image is missing: all that follow would be taken for the one before."""
    names = [p.stem for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.name[0] != "."]
    numbers = [int(match[0]) for name in names if (match := re.search(r"\d+$", name))]
    if len(numbers) != count or min(numbers) > 1 or max(numbers) - min(numbers) != count - 1:
        raise DatasetError(f"{folder}: its {count} images are not numbered from 1 without a gap; copy all frames again")
