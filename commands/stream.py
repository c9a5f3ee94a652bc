"""`cstm stream`: masks of a live source, as they are made."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.commands.types import finite, positive
from cstm.console import make_console

if TYPE_CHECKING:
    from cstm.runtime.live.stream import Stream

TELL_EVERY = 10.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("source", help="webcam:0, rtsp://…, http://…, udp://…, srt://…; or a video file, a folder")
    parser.add_argument("sentences", nargs="+", metavar="SENTENCE", help="such as 'the dog jumping on the left'")
    parser.add_argument(
        "--policy",
        help="what is segmented: block (every frame), latest (the newest, late ones are passed over), every=N, or"
        " latest,every=N (default: latest for a live source, else block)",
    )
    parser.add_argument("--between", choices=("hold", "move"), help="frames passed over get the last masks, or moved")
    parser.add_argument("--clip-fps", type=finite, metavar="FPS", help="as cstm segment has it")
    parser.add_argument(
        "--overlay", metavar="PLACE", help="an mp4 file; udp://HOST:PORT, live as MPEG-TS; or FOLDER/live.m3u8, as HLS"
    )
    parser.add_argument("--masks", metavar="F", help="a file of JSON lines, which is added to, or - (default: -)")
    parser.add_argument("--seconds", type=finite, metavar="S", help="end after so long (default: with the source)")
    add_bundle_argument(parser, "--bundle")
    parser.add_argument("--backend", default="auto", help="see cstm doctor (default: auto)")
    parser.add_argument("--precision", help="fp32, fp16, bf16, int8 or int8_bf16 (default: the backend's)")
    parser.add_argument("--threads", type=positive, metavar="N", help="of the CPU, for the network")


def run(arguments: argparse.Namespace) -> int:
    """Stream as the command line says, until the source ends or the user ends it; 0."""
    from contextlib import ExitStack
    from threading import Timer

    from cstm.runtime.live.address import live_address
    from cstm.runtime.live.sinks import OverlaySink, lines
    from cstm.runtime.result_files import UNTRAINED
    from cstm.runtime.segmenter import Segmenter

    policy = arguments.policy or ("latest" if live_address(arguments.source) else "block")
    places = [arguments.masks] if arguments.masks else [] if arguments.overlay else ["-"]
    with ExitStack() as stack:
        segmenter = stack.enter_context(
            Segmenter(arguments.bundle, arguments.backend, arguments.precision, threads=arguments.threads)
        )
        stream = stack.enter_context(
            segmenter.stream(arguments.source, arguments.sentences, policy, arguments.between, arguments.clip_fps)
        )
        sinks = [stack.enter_context(lines(place)) for place in places]
        if arguments.overlay:
            note = None if segmenter.bundle.trained else UNTRAINED
            sinks.append(stack.enter_context(OverlaySink(arguments.overlay, stream.fps, note)))
        if arguments.seconds is not None:
            end = Timer(arguments.seconds, stream.close)  # whatever the source does, or does not
            stack.callback(end.cancel)
            end.start()
        _pour(stream, sinks)
    return 0


def _pour(stream: Stream, sinks: list) -> None:
    """Every result into every sink; now and then, and at the end, a line of how it goes."""
    import time

    console = make_console(stderr=True)
    told, age = time.monotonic(), 0.0
    try:
        for result in stream:
            for sink in sinks:
                sink.write(result)
            now, age = time.monotonic(), result.age
            if now - told > TELL_EVERY:
                console.print(_shown(stream, age), highlight=False)
                told = now
    finally:
        stream.close()
        console.print(_shown(stream, age), highlight=False)


def _shown(stream: Stream, age: float) -> str:
    counts = stream.counts
    dropped = ", ".join(f"{count} {reason}" for reason, count in counts.dropped.items())
    told = [f"{counts.decoded} frames", f"{counts.segmented} segmented", f"{counts.held} held"]
    told += [f"dropped: {dropped}" if dropped else "none dropped", f"age {1e3 * age:.0f} ms"]
    return f"{stream.source.name}: {', '.join(told)}"
