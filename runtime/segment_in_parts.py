"""One video on many workers."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from cstm.errors import VideoError
from cstm.runtime.ahead import ahead
from cstm.runtime.bundle import Bundle
from cstm.runtime.crew import Crew, Job, Opened, Opening
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.frames import Frame
from cstm.runtime.parts import PackedMasks, join, split
from cstm.runtime.presence import Track
from cstm.runtime.result_files import ResultFiles, Written, check_places, write_results
from cstm.runtime.video import Video
from cstm.runtime.video_index import VideoIndex, index_video

UNSEEN = np.zeros((0, 0, 3), np.uint8)  # in place of pictures that nobody looks at


def segment_in_parts(
    opening: Opening,
    index: VideoIndex,
    sentences: str | list[str],
    workers: int,
    every: int = 1,
    clip_fps: float | None = None,
    opened: Callable[[Opened], None] = lambda opened: None,
    report: Callable[[int], None] = lambda number: None,
) -> Generator[PackedMasks, None, None]:
    """The masks of every `every`-th frame, in order, as `Segmenter.segment` gives them, made by so many processes.

    Where a part of the video is not as `index` says, its frames are counted, and what is missing is segmented anew.
    opened, report: as `Crew` has them. VideoError after the last readable frame when the video breaks off; else the
    errors of `Segmenter`, and `Crew`'s.
    """
    sentences = [sentences] if isinstance(sentences, str) else sentences
    first = 0
    while first < len(index):
        try:
            with Crew(workers, opening, Job(index, sentences, every, clip_fps), opened, report) as crew:
                for part in join(crew.segment(split(index, workers, first))):
                    for found in part.frames:
                        crew.attend()
                        yield found
                    first = part.targets.stop
        except VideoError as error:
            if index.counted:
                raise
            logging.getLogger(__name__).info("%s; from frame %d on its frames are counted", error, first)
            index = index_video(index.path, index.fps if Path(index.path).is_dir() else None, counted=True)
    if index.broken:
        raise index.broken


def segment_to_files_in_parts(
    opening: Opening,
    video: Video,
    index: VideoIndex,
    sentences: list[str],
    workers: int,
    files: ResultFiles,
    every: int = 1,
    clip_fps: float | None = None,
    opened: Callable[[Opened], None] = lambda opened: None,
    report: Callable[[int], None] = lambda number: None,
) -> Written:
    """As `segment_to_files`, the same files, from so many processes; `video`, of which `index` is, is read once more
    for the overlay. The rest as `segment_in_parts` has it."""
    check_places(video.name, files.overlay, files.masks)
    bundle = Bundle(opening.bundle)
    track = Track(bundle.manifest.presence)
    found = segment_in_parts(opening, index, sentences, workers, every, clip_fps, opened, report)
    results = _with_pictures(found, video, track) if files.overlay else _without_pictures(found, track)
    return write_results(results, files, video, sentences, bundle.trained, every)


def _without_pictures(found: Generator[PackedMasks, None, None], track: Track) -> Generator[FrameMasks, None, None]:
    with closing(found):
        for each in found:
            yield each.unpacked(UNSEEN, track)


def _with_pictures(
    found: Generator[PackedMasks, None, None], video: Video, track: Track
) -> Generator[FrameMasks, None, None]:
    """What was found, each with its frame of the video, which is read to its end."""
    with video, closing(found), closing(ahead(video)) as frames:
        try:
            for each in found:
                yield each.unpacked(_picture(frames, each.index), track)
        except VideoError:
            deque(frames, maxlen=0)  # when the last frame ends, the overlay does
            raise
        deque(frames, maxlen=0)


def _picture(frames: Iterator[Frame], number: int) -> np.ndarray:
    for frame in frames:
        if frame.index == number:
            return frame.image
    raise VideoError(f"frame {number} was read once, and now is not there; copy the file where nothing changes it")
