"""A segmented video on disk: the overlay, and the masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cstm.runtime.ahead import ahead
from cstm.runtime.encoders import X264
from cstm.runtime.result_files import ResultFiles, Written, check_places, write_results
from cstm.runtime.segmenter import KEEP, MARK, Segmenter
from cstm.runtime.video import Video


def segment_to_files(
    segmenter: Segmenter,
    video: Video,
    sentences: list[str],
    every: int = 1,
    overlay: str | Path | None = None,
    masks: str | Path | None = None,
    report: Callable[[int], None] | None = None,
    clip_fps: float | None = None,
    sound: bool = True,
    encoder: str = X264,
    absent: str = KEEP,
    smoothing: bool = False,
) -> Written:
    """Segment `video` and write the overlay video (mp4) and the masks, those that are asked for.

    Reading, the network and writing run at the same time, and no picture is kept. The overlay shows each frame when the
    video does, and has its sound if `sound`; the masks' name says in which form they are, see `masks_formats`.
    clip_fps, absent, smoothing: as `Segmenter.segment` has them; "mark" shows in the overlay. encoder: as `VideoWriter`
    has it. report: called with each finished frame's index.
    A video that breaks off is written up to there; VideoError only when there was nothing to write.
    """
    check_places(video.name, overlay, masks)
    results = segmenter.segment(video, sentences, every, clip_fps, absent, smoothing)
    files = ResultFiles(overlay, masks, sound, encoder, mark=absent == MARK)
    trained = segmenter.bundle.trained
    return write_results(ahead(results), files, video, sentences, trained, every, report or (lambda index: None))
