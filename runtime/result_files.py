"""What was found in a video, on disk: the overlay, and the masks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cstm.errors import RequestError, VideoError
from cstm.files import check_place
from cstm.runtime.encoders import X264
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.masks_formats import masks_writer
from cstm.runtime.overlay import Overlay
from cstm.runtime.video import Video
from cstm.runtime.video_writer import VideoWriter

UNTRAINED = "UNTRAINED WEIGHTS: these masks mean nothing"


@dataclass(frozen=True)
class ResultFiles:
    """Where results go. overlay: an mp4 file; it shows each frame when the video does, and has its sound if `sound`.
    masks: the name says in which form they are, see `masks_formats`. encoder: as `VideoWriter` has it. mark: whether
    the overlay says who is not seen."""

    overlay: str | Path | None = None
    masks: str | Path | None = None
    sound: bool = True
    encoder: str = X264
    mark: bool = False


@dataclass(frozen=True)
class Written:
    """What was written. broken: why the video broke off, or None."""

    frames: int
    broken: VideoError | None


def write_results(
    results: Generator[FrameMasks, None, None],
    files: ResultFiles,
    video: Video,
    sentences: list[str],
    trained: bool,
    every: int = 1,
    report: Callable[[int], None] = lambda index: None,
) -> Written:
    """Write what was found in every `every`-th frame of `video`; `results` is closed.

    trained: whether the masks mean anything. report: called with the index of each frame that was written.
    Where `results` raises VideoError, as of a video that breaks off, all is written up to there; VideoError only when
    there was nothing to write.
    """
    count, broken = 0, None
    head = {
        "video": Path(video.name).name,
        "size": list(video.size),
        "fps": video.fps,
        "sentences": sentences,
        "trained": trained,
    }
    with ExitStack() as stack:
        masks_file = stack.enter_context(masks_writer(files.masks)(files.masks, head)) if files.masks else None
        writer = stack.enter_context(_overlay_of(video, files.overlay, every, files)) if files.overlay else None
        painter = Overlay(sentences, note=None if trained else UNTRAINED)
        try:
            for result in stack.enter_context(closing(results)):
                if writer:
                    seen = result.seen if files.mark else None
                    painter.draw_onto(result.image, result.masks, seen)  # nobody else will see it
                    writer.write(result.image, result.time)
                if masks_file:
                    masks_file.write(result)
                count += 1
                report(result.index)
        except VideoError as error:
            if not count:
                raise
            broken = error
        if writer:
            writer.end(video.end)
    return Written(count, broken)


@contextmanager
def _overlay_of(video: Video, place: str | Path, every: int, files: ResultFiles) -> Iterator[VideoWriter]:
    with ExitStack() as stack:
        heard = video.open_sound() if files.sound else None
        if heard:
            stack.callback(heard.close)
        pace, aspect = video.fps / every, video.pixel_aspect
        with VideoWriter(place, video.size, pace, pixel_aspect=aspect, sound=heard, encoder=files.encoder) as writer:
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
