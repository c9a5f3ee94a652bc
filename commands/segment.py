"""`cstm segment`: an overlay video and masks of what sentences describe in a video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.commands.types import finite, positive
from cstm.console import fail
from cstm.errors import RequestError
from cstm.files import is_special
from cstm.progress import progress

if TYPE_CHECKING:
    from cstm.runtime.crew import Opened, Opening
    from cstm.runtime.result_files import ResultFiles, Written

ABSENT = "keep", "mark", "hide"  # as in runtime.segmenter
LINK = {"auto": None, "frame": True, "components": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `cstm segment`."""
    parser.add_argument("video", help="a video file or a folder of frames")
    parser.add_argument("sentences", nargs="+", metavar="SENTENCE", help="such as 'the dog jumping on the left'")
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="only every N-th frame")
    parser.add_argument(
        "--clip-fps",
        type=finite,
        metavar="FPS",
        help="watch the video at this pace, such as 30 for one of 60, by its frames' times (default: frame by frame)",
    )
    parser.add_argument(
        "--absent",
        choices=ABSENT,
        default=ABSENT[0],
        help="masks of actors that are probably not there: as they are; outlined, and said; or empty (default: keep)",
    )
    parser.add_argument("--smooth", action="store_true", help="mend masks that leave their actor for one frame alone")
    parser.add_argument("--no-audio", action="store_true", help="an overlay without the video's sound")
    parser.add_argument(
        "--encoder",
        default="x264",
        help="of the overlay: x264, nvenc, qsv, amf, or hardware for the first on a GPU that works (default: x264)",
    )
    parser.add_argument("--out", type=Path, metavar="F", help="overlay video; by default VIDEO.overlay.mp4, here")
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="F",
        help="masks, by the name's ending: .json or .jsonl (COCO run lengths), .coco.json (a COCO dataset, for CVAT),"
        " .labelstudio.json (boxes), none (a folder of PNGs)",
    )
    add_bundle_argument(parser, "--bundle")
    parser.add_argument("--backend", default="auto", help="see cstm doctor (default: auto)")
    parser.add_argument("--precision", help="fp32, fp16, bf16, int8 or int8_bf16 (default: the backend's)")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="of the CPU, for the network; its share, where several run"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help="processes that share out the video and the cores: the same masks, sooner (default: 1)",
    )
    parser.add_argument(
        "--link",
        choices=tuple(LINK),
        default="auto",
        help="run a frame's components linked to one graph, or one by one, to look for a fault (default: linked)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Segment as the command line says; 0, or 2 where the video broke off."""
    from cstm.runtime.crew import Opening
    from cstm.runtime.result_files import ResultFiles, check_places

    if not arguments.video:
        raise RequestError("the video's name is empty; name a file, or . for the frames in this folder")
    overlay = arguments.out
    if not overlay and not arguments.masks:
        overlay = Path(f"{Path(arguments.video).stem}.overlay.mp4")
    check_places(arguments.video, overlay, arguments.masks)
    if arguments.workers > 1 and (arguments.absent != "keep" or arguments.smooth):
        raise RequestError("--absent and --smooth look at the whole video in turn; leave out --workers")
    files = ResultFiles(overlay, arguments.masks, not arguments.no_audio, arguments.encoder)
    opening = Opening(arguments.bundle, arguments.backend, arguments.precision, LINK[arguments.link], arguments.threads)
    written, backend = (_by_one if arguments.workers == 1 else _by_many)(arguments, opening, files)
    places = list(filter(None, (overlay, arguments.masks)))
    told = sys.stderr if any(map(is_special, places)) else sys.stdout  # the file may be standard output itself
    print(f"{written.frames} frames on {backend}", *places, sep="\n", file=told)
    return fail(written.broken) if written.broken else 0


def _by_one(arguments: argparse.Namespace, opening: Opening, files: ResultFiles) -> tuple[Written, str]:
    """In this process: what was written, and on what."""
    from cstm.runtime.segment_video import segment_to_files
    from cstm.runtime.video import open_video

    with (
        open_video(arguments.video) as video,
        opening.open() as segmenter,
        progress(f"{segmenter.backend.name} {segmenter.precision}", video.count) as bar,
    ):
        written = segment_to_files(
            segmenter,
            video,
            arguments.sentences,
            arguments.every,
            files.overlay,
            files.masks,
            lambda index: bar.to(index + 1),
            arguments.clip_fps,
            files.sound,
            files.encoder,
            arguments.absent,
            arguments.smooth,
        )
        return written, f"{segmenter.backend.name} in {segmenter.precision}"


def _by_many(arguments: argparse.Namespace, opening: Opening, files: ResultFiles) -> tuple[Written, str]:
    """In processes, each of which takes its share of the cores."""
    from cstm.runtime.segment_in_parts import segment_to_files_in_parts
    from cstm.runtime.video import open_video
    from cstm.runtime.video_index import index_video

    with open_video(arguments.video) as video:
        with progress("looking for the frames"):
            index = index_video(arguments.video)
        with progress(f"{arguments.workers} workers", len(index)) as bar:
            backends: list[str] = []

            def opened(first: Opened) -> None:
                backends[:] = [f"{first.backend} in {first.precision}"]
                bar.title(f"{first.backend} {first.precision}, {arguments.workers} workers")

            written = segment_to_files_in_parts(
                opening,
                video,
                index,
                arguments.sentences,
                arguments.workers,
                files,
                arguments.every,
                arguments.clip_fps,
                opened,
                lambda _: bar.advance(arguments.every),
            )
    return written, f"{backends[0]}, {arguments.workers} workers"
