"""Does ONNX Runtime on the GPU answer as PyTorch does, in parts and linked, and what does a frame take?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cstm.bench.gpu_steps.bundle import opened
from cstm.bench.gpu_steps.place import Found, Place, tell
from cstm.models.contract import TEXT_ENCODER
from cstm.runtime.backends import Backend, agree, backend
from cstm.runtime.backends.torch import torch_sessions
from cstm.runtime.bundle import CHECKPOINT, Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.timing import medians
from cstm.runtime.tolerance import Difference

REPEATS, WARM_UP = 50, 5


@dataclass(frozen=True)
class Comparison:
    """Of one part, or of the whole, with PyTorch. shown: how far it is. right: whether that is within tolerance."""

    part: str
    precision: str
    shown: str
    right: bool


def run(place: Place) -> Found:
    """On the CPU's provider in a dry run."""
    bundle = opened(place)
    found = backend("onnxruntime" if place.dry else "onnxruntime-cuda")
    agree(found, bundle, None)
    rows, frame_ms = [], {}
    for precision in found.precisions(bundle):
        if precision == "int8":
            continue  # the CPU's form
        tell(f"{found.name} {precision}, component by component")
        rows += compare_components(bundle, found, precision)
        tell(f"{found.name} {precision}, linked")
        with Chain(bundle.config, found.open_program(bundle, precision)) as chain:
            rows.append(compare_whole(bundle, chain, precision))
            frame_ms[f"{found.name} {precision}"] = frame_time(bundle, chain, place)
    return judged(rows, frame_ms)


def judged(rows: list[Comparison], frame_ms: dict[str, float], **figures: Any) -> Found:
    """All of it in one."""
    far = [row for row in rows if not row.right]
    shown = [f"{row.part} {row.precision} {row.shown}" for row in far or rows if far or row.part == WHOLE]
    times = ", ".join(f"{label} {spent:.2f} ms a frame" for label, spent in frame_ms.items())
    said = f"too far: {'; '.join(shown)}" if far else f"{'; '.join(shown)}; {times}"
    told = {"compared": [vars(row) for row in rows], "frame_ms": frame_ms}
    return Found(said, told | figures, passed=not far)


WHOLE = "whole"


def compare_components(bundle: Bundle, found: Backend, precision: str) -> list[Comparison]:
    """Each on what PyTorch, on the CPU, gives it of the recorded inputs."""
    reference, values = torch_sessions(bundle.file(CHECKPOINT), device="cpu"), dict(bundle.golden()[0])
    rows = []
    with Chain(bundle.config, found.open(bundle, precision)) as chain:
        for name, component in chain.components.items():
            inputs = component.pick(values)
            expected, actual = reference[name].run(inputs), chain.sessions[name].run(inputs)
            values |= expected
            worst = Difference.worst([Difference.between(actual[key], expected[key]) for key in expected])
            rows.append(Comparison(name, precision, worst.shown(precision), worst.within(precision)))
    return rows


def compare_whole(bundle: Bundle, chain: Chain, precision: str) -> Comparison:
    """The logits, on the recorded inputs, with those recorded."""
    inputs, expected = bundle.golden()
    difference = Difference.between(chain(inputs), expected)
    return Comparison(WHOLE, precision, difference.shown(precision), difference.within(precision, strict=True))


def frame_time(bundle: Bundle, chain: Chain, place: Place) -> float:
    """Milliseconds from pixels to logits, both on the host, for a sentence that has been read; the median."""
    inputs, _ = bundle.golden()
    language_plan = chain.language_plan(chain.components[TEXT_ENCODER].pick(inputs))
    pixels: dict[str, np.ndarray] = {
        name: array for name, array in inputs.items() if name not in chain.components[TEXT_ENCODER].pick(inputs)
    }
    repeats, warm_up = (2, 0) if place.dry else (REPEATS, WARM_UP)
    (seconds,) = medians([lambda: chain.mask_logits(pixels, language_plan)], repeats, warm_up)
    return round(1e3 * seconds, 3)
