"""What an engine's layers are and what they move, as TensorRT-RTX tells while it builds one: no GPU is needed.

Printed by `cstm layers`. Each build runs in a process of its own, `python -m cstm.bench.engine_layers REQUEST.json`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from cstm.errors import EngineError, MissingDependencyError
from cstm.export.engines import engine_problem, profiles_of, register_our_plugins, run_apart, set_flags, with_plugins
from cstm.models.contract import Component

BACKEND = "tensorrt_rtx"
BYTES = {"Half": 2, "BFloat16": 2, "Float": 4, "Int8": 1, "UInt8": 1, "Bool": 1, "FP8": 1, "Int32": 4, "Int64": 8}
CONVOLUTION, WAITS = "correlation", ("signal", "wait", "shape_call")  # TensorRT's words
# A generated kernel is called after what it does: __myl_CastReshTran_myl0_7. These neither compute nor choose.
MOVING = {"Cast", "Move", "Tran", "Resh", "Slic", "Conc", "Repl"}
LAYER = re.compile(r"Name: (\S+), LayerType: (\w+), Inputs: \[(.*?)\], Constants: .*?Outputs: \[(.*?)\], TacticName")
TENSOR = re.compile(r"\{ Name: \S+, Dimensions: \[([^\]]*)\].*?Datatype: (\w+), Format: \(([^)]*)\)")


@dataclass(frozen=True)
class Layer:
    """kind: TensorRT's word for it. read, written: bytes for a batch of 1, without weights. types: of what is read and
    of what is written, such as "Half/NHWC"."""

    name: str
    kind: str
    read: int
    written: int
    types: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def only_moves(self) -> bool:
        """Whether it casts, transposes, slices or copies, and nothing else."""
        generated = re.match(r"__myl_((?:[A-Z][a-z]{2,3})+)_", self.name)
        return generated is not None and set(re.findall("[A-Z][a-z]{2,3}", generated[1])) <= MOVING


def layer(line: str) -> Layer | None:
    """What a line of the builder's log tells of a layer; None where it tells of none."""
    found = LAYER.match(line)
    if not found:
        return None
    name, kind, *ends = found.groups()
    (read, sources), (written, targets) = (_tensors(end) for end in ends)
    return Layer(name, kind, read, written, (sources, targets))


def _tensors(text: str) -> tuple[int, tuple[str, ...]]:
    """Their bytes together, and the type and format of each."""
    found = TENSOR.findall(text)
    size = sum(BYTES.get(dtype, 4) * prod(_sides(dimensions)) for dimensions, dtype, _ in found)
    return size, tuple(f"{dtype}/{layout}" for _, dtype, layout in found)


def _sides(dimensions: str) -> Iterable[int]:
    """A batch, which is not known, is 1."""
    return (int(side) if side.strip().isdigit() else 1 for side in dimensions.split(","))


def summary(layers: Iterable[Layer]) -> dict[str, float]:
    """{layers, megabytes, convolutions, moving, moving_megabytes}: how many there are, and what they read and write for
    one frame. moving: of those that only move. What orders streams is not counted."""
    working = [one for one in layers if one.kind not in WAITS]
    moving = [one for one in working if one.only_moves]
    return {
        "layers": len(working),
        "megabytes": _megabytes(working),
        "convolutions": _megabytes(one for one in working if one.kind == CONVOLUTION),
        "moving": len(moving),
        "moving_megabytes": _megabytes(moving),
    }


def _megabytes(layers: Iterable[Layer]) -> float:
    return round(sum(one.read + one.written for one in layers) / 1e6, 2)


def engine_layers(model: Path, component: Component, max_batch: int, plugins: bool = False) -> list[Layer]:
    """Of the engine that is built from an ONNX file. plugins: whether our kernels take over CMAM and LGFS.

    MissingDependencyError without TensorRT-RTX; EngineError, with its words, when it cannot build.
    """
    if problem := engine_problem(BACKEND):
        raise MissingDependencyError(f"{BACKEND}: {problem}")
    request = {
        "backend": BACKEND,
        "onnx": str(model.resolve()),
        "profile": profiles_of(component, max_batch)[0],
        "plugins": plugins,
    }
    done = run_apart("cstm.bench.engine_layers", BACKEND, request)
    if done.returncode:
        said = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise EngineError(f"{component.name}: {BACKEND} could not build it: {said}")
    return [found for found in map(layer, done.stdout.splitlines()) if found]


def _tell(request: dict[str, Any]) -> None:
    """Build, and print the lines that tell of layers."""
    import tensorrt_rtx as trt

    class Told(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if "LayerType: " in message:
                print("\n".join(line for line in message.splitlines() if "LayerType: " in line))
            elif severity <= trt.ILogger.ERROR:
                print(message, file=sys.stderr)

    source = request["onnx"]
    if request["plugins"]:
        register_our_plugins(BACKEND)
        source = with_plugins(source)
    builder = trt.Builder(Told())
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, builder.logger)
    if not parser.parse_from_file(source):
        raise SystemExit(" | ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    set_flags(request, config)
    for name, shapes in request["profile"].items():
        profile.set_shape(name, *map(tuple, shapes))
    config.add_optimization_profile(profile)
    if builder.build_serialized_network(network, config) is None:
        raise SystemExit("it gave no engine")


if __name__ == "__main__":
    _tell(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
