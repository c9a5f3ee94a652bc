"""`cstm explain`: what a network makes of sentences, as pictures."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from cstm.errors import RequestError
from cstm.files import atomic_path

STRIP = 5  # frames along the video


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `run` reads."""
    parser.add_argument("bundle", type=Path, help="a folder made by cstm build")
    parser.add_argument("video", help="a video file or a folder of frames")
    parser.add_argument("sentences", nargs="+", metavar="SENTENCE", help="such as 'the dog jumping on the left'")
    parser.add_argument("--frame", type=int, metavar="N", help="the frame to explain, from 0 (default: the middle one)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to; by default VIDEO.explain, here")


def run(arguments: argparse.Namespace) -> int:
    """Write explain.png for the first sentence (explain-2.png, ... for more) and strip.png for all, or none; 0.

    CSTMError when the video has no such frame, a sentence cannot be read, or the folder cannot be written to.
    """
    import numpy as np

    from cstm.bench.explain import explain, pick_windows
    from cstm.bench.figure import draw
    from cstm.bench.strip import Strip, draw_strip
    from cstm.models.checkpoint import load_checkpoint
    from cstm.runtime.bundle import CHECKPOINT, Bundle
    from cstm.runtime.video import open_video

    bundle = Bundle(arguments.bundle)
    with open_video(arguments.video) as video:
        count = sum(1 for _ in video)
    target = count // 2 if arguments.frame is None else arguments.frame
    if not 0 <= target < count:
        raise RequestError(f"--frame {target}: {arguments.video} has {count} frames; choose one from 0 to {count - 1}")
    spread = sorted({int(number) for number in np.linspace(0, count - 1, STRIP).round()})
    windows = pick_windows(arguments.video, bundle.config, {target, *spread})
    out = arguments.out or Path(f"{Path(arguments.video).stem}.explain")
    more = range(2, len(arguments.sentences) + 1)
    paths = [out / "explain.png", *(out / f"explain-{number}.png" for number in more), out / "strip.png"]
    with ExitStack() as stack:
        files = [stack.enter_context(atomic_path(path)) for path in paths]
        model = load_checkpoint(bundle.file(CHECKPOINT))
        for file, sentence in zip(files, arguments.sentences, strict=False):
            draw(explain(model, bundle.reader, windows[target], sentence)).savefig(file)
        strip = Strip.of(model, bundle.reader, [windows[number] for number in spread], arguments.sentences)
        draw_strip(strip).savefig(files[-1])
    for path in paths:
        print(path)
    return 0
