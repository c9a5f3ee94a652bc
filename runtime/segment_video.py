"""A segmented video on disk: the overlay, and the masks as COCO run lengths."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cstm.errors import RequestError, VideoError
from cstm.files import atomic_path, check_place
from cstm.runtime import rle
from cstm.runtime.overlay import Overlay
from cstm.runtime.segmenter import FrameMasks, Segmenter
from cstm.runtime.video import Video
from cstm.runtime.video_writer import VideoWriter

UNTRAINED = "UNTRAINED WEIGHTS: these masks mean nothing"


@dataclass(frozen=True)
class Written:
    """What was written. broken: why the video broke off, or None."""

    frames: int
    broken: VideoError | None


def segment_to_files(
    segmenter: Segmenter,
    video: Video,
    sentences: list[str],
    every: int = 1,
    overlay: str | Path | None = None,
    masks: str | Path | None = None,
    report: Callable[[int], None] | None = None,
) -> Written:
    """Segment `video` and write the overlay video (mp4) and the masks (JSON), those that are asked for.

    The JSON holds the video's size and rate, the sentences and, per frame, index, time in seconds, scores and COCO
    run lengths. report: called with each finished frame's index. A video that breaks off is written up to there;
    VideoError only when there was nothing to write.
    """
    frames, broken = [], None
    _check_places(video.name, overlay, masks)
    results = segmenter.segment(video, sentences, every)
    with ExitStack() as stack:
        masks_file = stack.enter_context(atomic_path(masks)) if masks else None
        writer = stack.enter_context(VideoWriter(overlay, video.size, video.fps, every=every)) if overlay else None
        painter = Overlay(sentences, note=None if segmenter.bundle.trained else UNTRAINED)
        try:
            for result in results:
                if writer:
                    writer.write(painter.draw(result.image, result.masks))
                frames.append(_record(result) if masks else result.index)
                if report:
                    report(result.index)
        except VideoError as error:
            if not frames:
                raise
            broken = error
        if writer:
            writer.end(video.read)
        if masks_file:
            head = {"size": list(video.size), "fps": video.fps, "sentences": sentences}
            record = head | {"trained": segmenter.bundle.trained, "frames": frames}
            masks_file.write_text(json.dumps(record), encoding="utf-8")
    return Written(len(frames), broken)


def _check_places(video: str, overlay: str | Path | None, masks: str | Path | None) -> None:
    outputs = [place for place in (overlay, masks) if place]
    for place in outputs:
        check_place(place)
    places = [Path(place).resolve() for place in (video, *outputs)]
    if len(set(places)) < len(places):
        raise RequestError("the video, the overlay and the masks must be three different files")


def _record(result: FrameMasks) -> dict:
    return {
        "index": result.index,
        "time": round(result.time, 6),
        "scores": [round(float(score), 6) for score in result.scores],
        "masks": [rle.encode(mask) for mask in result.masks],
    }
