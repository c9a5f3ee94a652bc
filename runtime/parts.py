"""A long video in parts: each segmented anywhere, then joined to exactly what one process makes of the whole.

A mask depends on the frames of its clip alone, so a part reads some frames before and after its targets. Neighbours so
read some of the same frames: that they saw the same pixels there, each decoded from another key picture, and that no
part found another picture than its index names, is what says that all numbers and pixels are those of the whole.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np

from cstm.errors import VideoError
from cstm.models.config import CSTMConfig
from cstm.runtime import rle
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.frames import Frame
from cstm.runtime.preprocess import clip_offsets
from cstm.runtime.presence import Told, Track
from cstm.runtime.segmenter import Segmenter
from cstm.runtime.video_index import VideoIndex
from cstm.runtime.video_part import open_part

# Frames of a part: enough to be worth decoding from a key picture on that lies before; few enough to be written soon.
SHORTEST, LONGEST = 128, 1024
EACH = 4  # parts for each worker, where they are not too short: at the end, none waits long for another


@dataclass(frozen=True)
class PackedMasks:
    """What was found in one frame, small enough to be kept and sent: as `FrameMasks`, but without the image, and with
    masks as COCO run lengths (`rle`), one per sentence."""

    index: int
    time: float
    masks: list[dict]
    scores: np.ndarray
    presence: np.ndarray | None

    @staticmethod
    def of(result: FrameMasks) -> PackedMasks:
        """The same without the image, and without what depends on the frames before."""
        masks = [rle.encode(mask) for mask in result.masks]
        return PackedMasks(result.index, result.time, masks, result.scores, result.presence)

    def unpacked(self, image: np.ndarray, track: Track) -> FrameMasks:
        """The same with the image, which is the frame's, or nothing where nobody looks. track: has followed the frames
        before."""
        masks = np.stack([rle.decode(mask) for mask in self.masks])
        told = Told() if self.presence is None else track.follow(self.presence, self.time)
        return FrameMasks(self.index, self.time, image, masks, self.scores, *told)


@dataclass(frozen=True)
class PartMasks:
    """A segmented part. targets: the numbers of its frames, all of the video's or every `every`-th of which were
    segmented. start, stop: checksums of the frames that the part before, and the one after, read too."""

    targets: range
    frames: list[PackedMasks]
    start: int
    stop: int


def split(index: VideoIndex, workers: int, first: int = 0) -> list[range]:
    """The frames from number `first` on in parts, for so many workers that take them in turn.

    Parts that are read from the video's start, by counting, are as few as keep all workers busy.
    """
    count = max(len(index) - first, 0)
    each = 2
    if not index.reads_from_start:
        each = max(1, min(EACH, count // workers // SHORTEST), ceil(count / workers / LONGEST))
    pieces = min(each * workers, count)
    return [range(*pair) for pair in pairwise(first + count * i // pieces for i in range(pieces + 1) if pieces)]


def segment_part(
    segmenter: Segmenter,
    index: VideoIndex,
    targets: range,
    sentences: str | list[str],
    every: int = 1,
    clip_fps: float | None = None,
    report: Callable[[int], None] = lambda number: None,
) -> PartMasks:
    """The masks of the frames numbered `targets`; every: counted from the video's start. The rest as
    `Segmenter.segment` has it; report: called with each finished frame's number.

    VideoError when the video is not as its index says: see `open_part`.
    """
    seams = _Seams(index, targets, segmenter.config, clip_fps)
    video = open_part(index, clip_reach(index, targets, segmenter.config, clip_fps), targets, seams.see)
    frames = []
    with video, closing(segmenter.segment(video, sentences, every, clip_fps)) as results:
        for result in results:
            frames.append(PackedMasks.of(result))
            report(result.index)
    return PartMasks(targets, frames, seams.start, seams.stop)


def join(parts: Iterable[PartMasks]) -> Iterator[PartMasks]:
    """The parts of one video, in order, each as soon as it is known to follow the one before.

    VideoError where frames are missing between two, or where two saw other pixels in the same frames: then count the
    frames (`index_video(…, counted=True)`), and go on from there.
    """
    before = None
    for part in parts:
        if before is not None and part.targets.start != before.targets.stop:
            raise VideoError(f"frame {before.targets.stop} should follow, but a part begins at {part.targets.start}")
        if before is not None and part.start != before.stop:
            raise VideoError(f"around frame {part.targets.start} two parts of the video hold other pictures")
        yield part
        before = part


def clip_reach(index: VideoIndex, targets: range, config: CSTMConfig, clip_fps: float | None) -> range:
    """The numbers of the frames that the clips of all `targets` look at."""
    offsets = clip_offsets(config.frames, config.stride)
    before, after = offsets[0], offsets[-1]
    first, last = targets.start + before, targets.stop - 1 + after
    if clip_fps is not None:
        places = index.times * clip_fps
        first = bisect_right(places, places[targets.start] + before) - 1
        last = bisect_left(places, places[targets.stop - 1] + after)
    return range(max(first, 0), min(last + 1, len(index)))


class _Seams:
    """Checksums of what a part reads that its neighbours read too, made while it is read."""

    def __init__(self, index: VideoIndex, targets: range, config: CSTMConfig, clip_fps: float | None):
        self.start = self.stop = 0
        self._start, self._stop = (
            self._shared(index, border, config, clip_fps) for border in (targets.start, targets.stop)
        )

    @staticmethod
    def _shared(index: VideoIndex, border: int, config: CSTMConfig, clip_fps: float | None) -> range:
        """What is read both for the last target before the border and for the first one after."""
        if not 0 < border < len(index):
            return range(0)
        before, after = (clip_reach(index, range(n, n + 1), config, clip_fps) for n in (border - 1, border))
        return range(after.start, before.stop)

    def see(self, frame: Frame) -> None:
        """The next frame that is read."""
        if frame.index in self._start:
            self.start = zlib.crc32(frame.image.data, self.start)
        if frame.index in self._stop:
            self.stop = zlib.crc32(frame.image.data, self.stop)
