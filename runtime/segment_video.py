"""A segmented video on disk: the overlay, and the masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cstm.errors import RequestError, VideoError
from cstm.files import check_place
from cstm.runtime.ahead import ahead
from cstm.runtime.encoders import X264
from cstm.runtime.masks_formats import masks_writer
from cstm.runtime.overlay import Overlay
from cstm.runtime.segmenter import KEEP, MARK, Segmenter
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
    clip_fps: float | None = None,
    sound: bool = True,
    encoder: str = X264,
    absent: str = KEEP,
    smoothing: int = 1,
) -> Written:
    """Segment `video` and write the overlay video (mp4) and the masks, those that are asked for.

    Reading, the network and writing run at the same time, and no picture is kept. The overlay shows each frame when the
    video does, and has its sound if `sound`; the masks' name says in which form they are, see `masks_formats`.
    clip_fps, absent, smoothing: as `Segmenter.segment` has them; "mark" shows in the overlay. encoder: as `VideoWriter`
    has it. report: called with each finished frame's index.
    A video that breaks off is written up to there; VideoError only when there was nothing to write.
    """
    count, broken = 0, None
    check_places(video.name, overlay, masks)
    results = segmenter.segment(video, sentences, every, clip_fps, absent, smoothing)
    trained = segmenter.bundle.trained
    head = {
        "video": Path(video.name).name,
        "size": list(video.size),
        "fps": video.fps,
        "sentences": sentences,
        "trained": trained,
    }
    with ExitStack() as stack:
        masks_file = stack.enter_context(masks_writer(masks)(masks, head)) if masks else None
        writer = stack.enter_context(_overlay_of(video, overlay, every, sound, encoder)) if overlay else None
        painter = Overlay(sentences, note=None if trained else UNTRAINED)
        try:
            for result in stack.enter_context(closing(ahead(results))):
                if writer:
                    seen = result.seen if absent == MARK else None
                    painter.draw_onto(result.image, result.masks, seen)  # nobody else will see it
                    writer.write(result.image, result.time)
                if masks_file:
                    masks_file.write(result)
                count += 1
                if report:
                    report(result.index)
        except VideoError as error:
            if not count:
                raise
            broken = error
        if writer:
            writer.end(video.end)
    return Written(count, broken)


@contextmanager
def _overlay_of(video: Video, overlay: str | Path, every: int, sound: bool, encoder: str) -> Iterator[VideoWriter]:
    with ExitStack() as stack:
        heard = video.open_sound() if sound else None
        if heard:
            stack.callback(heard.close)
        pace, aspect = video.fps / every, video.pixel_aspect
        with VideoWriter(overlay, video.size, pace, pixel_aspect=aspect, sound=heard, encoder=encoder) as writer:
            yield writer


def check_places(video: str, overlay: str | Path | None, masks: str | Path | None) -> None:
    """CSTMError unless all that is asked for can be written, to places of its own."""
    if overlay:
        check_place(overlay)
    if masks:
        masks_writer(masks).check_place(masks)
    places = [Path(place).resolve() for place in (video, overlay, masks) if place]
    if len(set(places)) < len(places):
        raise RequestError("the video, the overlay and the masks must be three different files")
