"""The network in PyTorch, eager and under torch.compile: right beside the CPU, and what a frame takes.

From pixels on the host to logits on the host, for a sentence that has been read before, as in `Chain.mask_logits`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cstm.bench.gpu_steps.bundle import SMALL
from cstm.bench.gpu_steps.place import Found, Place, tell
from cstm.models.checkpoint import load_checkpoint
from cstm.models.components import component_modules
from cstm.models.config import CSTMConfig
from cstm.models.contract import (
    CLIP,
    FRAME,
    MASK_LOGITS,
    TEXT_ENCODER,
    TOKEN_MASK,
    Component,
    chain_inputs,
    contract,
    frame_components,
)
from cstm.models.cstm import CSTM
from cstm.models.seeded import seeded
from cstm.models.weights import SHIPPED
from cstm.runtime.bundle import CHECKPOINT
from cstm.runtime.timing import medians
from cstm.runtime.tolerance import Difference

REPEATS, WARM_UP = 50, 5
Arrays = dict[str, np.ndarray]
Tensors = dict[str, Tensor]
Network = Callable[[Tensors], Tensor]


class Frame(nn.Module):
    """What runs once a frame, as one module: {frame, clip, language plan} -> mask logits [B,1,R,R]."""

    def __init__(self, model: CSTM):
        super().__init__()
        modules = component_modules(model)
        self.parts = nn.ModuleDict({name: modules[name] for name in frame_components(model.config)})
        self.wiring = [_wires(component) for component in frame_components(model.config).values()]

    def forward(self, values: Tensors) -> Tensor:
        """Pixels uint8, all else float32."""
        for part, (read, made) in zip(self.parts.values(), self.wiring, strict=True):
            outputs = part(*(values[name] for name in read))
            values = values | dict(zip(made, outputs if isinstance(outputs, tuple) else (outputs,), strict=True))
        return values[MASK_LOGITS]


def _wires(component: Component) -> tuple[list[str], list[str]]:
    return [spec.name for spec in component.inputs], [spec.name for spec in component.outputs]


def run(place: Place) -> Found:
    """A row for each way to run it: milliseconds a frame, and how far it is from eager FP32 on the CPU."""
    model = seeded(SMALL) if place.dry else load_checkpoint(_checkpoint(place))
    inputs = drawn_inputs(model.config)
    pixels = {name: array for name, array in inputs.items() if name in (FRAME, CLIP)}
    tell("on the CPU")
    expected = _runner(Frame(model), pixels, read(model, inputs, "cpu"), "fp32", "cpu")()
    if not place.dry:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    frame = Frame(model.to(place.device))
    language_plan = read(model, inputs, place.device)
    rows: list[dict[str, Any]] = []
    runs: dict[str, Callable[[], np.ndarray]] = {}
    for label, (compiled, precision) in ways(frame, place).items():
        tell(label)
        runs[label] = _runner(compiled, pixels, language_plan, precision, place.device)
        difference = Difference.between(runs[label](), expected)
        right = difference.within(precision)  # the inputs are no real ones: not strictly
        rows.append({"way": label, "difference": difference.shown(precision), "right": right})
    tell("timing")
    repeats, warm_up = (2, 0) if place.dry else (REPEATS, WARM_UP)
    spent = medians(list(runs.values()), repeats, warm_up)
    frame_ms = {label: round(1e3 * seconds, 3) for label, seconds in zip(runs, spent, strict=True)}
    said = ", ".join(f"{row['way']} {frame_ms[row['way']]:.2f} ms ({row['difference']})" for row in rows)
    passed = all(row["right"] for row in rows)
    return Found(f"{model.config.preset}: {said}", {"ways": rows, "frame_ms": frame_ms}, passed)


def ways(frame: Frame, place: Place) -> dict[str, tuple[Network, str]]:
    """How to run it: (module, precision) by label. In a dry run it is traced whole, and nothing is compiled."""
    half = "bf16" if place.dry else "fp16"
    modes: dict[str, dict[str, Any]] = {"torch.compile": {}, "torch.compile with graphs": {"mode": "reduce-overhead"}}
    if place.dry:
        modes = {"torch.compile": {"backend": "aot_eager"}}
    compiled = {label: torch.compile(frame, fullgraph=True, **how) for label, how in modes.items()}
    return {
        f"{label} {precision}": (module, precision)
        for label, module in ({"eager": frame} | compiled).items()
        for precision in ("fp32", half)
    }


def drawn_inputs(config: CSTMConfig) -> Arrays:
    """The chain's inputs for a batch of 1: random pixels, and a sentence of as many words as there is room for."""
    rng = np.random.default_rng(0)
    made: Arrays = {}
    for spec in chain_inputs(config):
        shape = spec.with_batch(1)
        if spec.name == TOKEN_MASK:
            made[spec.name] = np.ones(shape, np.int64)
        elif spec.dtype == "float32":
            made[spec.name] = rng.standard_normal(shape, np.float32)
        else:
            most = 256 if spec.dtype == "uint8" else config.vocabulary
            made[spec.name] = rng.integers(0, most, shape).astype(spec.dtype)
    return made


def read(model: CSTM, inputs: Arrays, device: str) -> Tensors:
    """The sentence's language plan, on the device of the model."""
    text = contract(model.config)[TEXT_ENCODER]
    with torch.no_grad():
        outputs = component_modules(model)[TEXT_ENCODER](*_on(text.pick(inputs), device).values())
    return dict(zip(_wires(text)[1], outputs, strict=True))


def _runner(
    frame: Network, pixels: Arrays, language_plan: Tensors, precision: str, device: str
) -> Callable[[], np.ndarray]:
    """From pixels to logits. precision: other than FP32, what PyTorch's autocast makes of it."""
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)

    def run() -> np.ndarray:
        with torch.no_grad(), torch.autocast(device, dtype) if dtype else nullcontext():
            return frame(_on(pixels, device) | language_plan).float().cpu().numpy()

    return run


def _on(arrays: Arrays, device: str) -> Tensors:
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def _checkpoint(place: Place) -> Path:
    """The bundle's, where it is there already; else the one that ships with the project."""
    found = place.bundle / CHECKPOINT
    return found if found.is_file() else SHIPPED
