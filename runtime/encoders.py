"""H.264 encoders that FFmpeg may have, on the CPU and on GPUs, and what each is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av

from cstm.errors import MissingDependencyError, RequestError
from cstm.runtime.pictures import reason

X264, HARDWARE = "x264", "hardware"


@dataclass(frozen=True)
class Encoder:
    """codec: FFmpeg's name. options: its own, for a quality on x264's scale, from 0 (lossless) to 51."""

    codec: str
    options: Callable[[int], Mapping[str, str]]


# Without B-frames the file's order is the frames', so that each is shown exactly as long as is said. x264's usual
# effort takes longer than the network.
ENCODERS = {
    X264: Encoder("libx264", lambda crf: {"crf": str(crf), "preset": "veryfast", "bf": "0"}),
    "nvenc": Encoder("h264_nvenc", lambda crf: {"rc": "vbr", "cq": str(crf), "b": "0", "preset": "p4", "bf": "0"}),
    "qsv": Encoder("h264_qsv", lambda crf: {"global_quality": str(max(crf, 1)), "preset": "veryfast", "bf": "0"}),
    "amf": Encoder("h264_amf", lambda crf: {"rc": "cqp", "qp_i": str(crf), "qp_p": str(crf), "bf": "0"}),
}


def choose(name: str) -> Encoder:
    """The encoder of that name, of ENCODERS, or the first on a GPU that works here, for HARDWARE.

    RequestError where there is none of that name; MissingDependencyError where it, or every one on a GPU, fails.
    """
    if name != HARDWARE and name not in ENCODERS:
        raise RequestError(f"no encoder {name!r}, choose from {', '.join([*ENCODERS, HARDWARE])}")
    wanted = [other for other in ENCODERS if other != X264] if name == HARDWARE else [name]
    problems = []
    for candidate in wanted:
        problem = _problem(ENCODERS[candidate])
        if not problem:
            return ENCODERS[candidate]
        problems.append(f"{candidate}: {problem}")
    raise MissingDependencyError(f"no such video encoder works here ({'; '.join(problems)}); use {X264}")


def _problem(encoder: Encoder) -> str:
    """Why it does not work on this machine; "" where it does."""
    if encoder.codec not in av.codecs_available:
        return f"this PyAV lacks {encoder.codec}"
    try:
        context = av.CodecContext.create(encoder.codec, "w")
        context.width, context.height, context.pix_fmt = 640, 480, "yuv420p"  # no smaller than GPUs take
        context.time_base = Fraction(1, 25)
        context.options = dict(encoder.options(20))
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        return reason(error)
    return ""
