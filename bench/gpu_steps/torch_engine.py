"""A TensorRT whose engines are PyTorch's work on the stream they are given: sessions on a GPU without TensorRT.

y = relu(x + frame), with the sum kept in scratch memory. An engine "file" is its number of cycles: for how long a run
keeps the GPU busy before it reads x, and again before it reads the sum.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch

from cstm.bench.gpu_steps.torch_side import TorchSide
from cstm.models.contract import Component, TensorSpec
from cstm.runtime.device_array import cuda_device
from cstm.runtime.manifest import BuiltWith
from cstm.runtime.tensorrt_session import TensorRTSession

SHAPE, MAX_BATCH = (3, 4096), 4
X, FRAME, Y = TensorSpec("x", SHAPE), TensorSpec("frame", SHAPE, "uint8"), TensorSpec("y", SHAPE)
TOY = Component("toy", (X, FRAME), (Y,))
SPECS = {spec.name: spec for spec in (X, FRAME, Y)}
VERSION = "0"


def toy_inputs(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays for the engine."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 255, FRAME.with_batch(batch), dtype=np.uint8)
    return {"x": rng.normal(0, 99, X.with_batch(batch)).astype(np.float32), "frame": frame}


def toy_output(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """What the engine makes of them."""
    return np.maximum(inputs["x"] + inputs["frame"].astype(np.float32), 0)


class Context:
    """An execution context. launched: how often any was told to run."""

    launched: ClassVar[int] = 0

    def __init__(self, side: TorchSide, cycles: int):
        self.side, self.cycles = side, cycles
        self.at: dict[str, int] = {}
        self.batch, self.scratch = 1, 0
        self._views: dict[tuple[int, int, str], torch.Tensor] = {}

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        """As of TensorRT, like all names below."""
        return True

    def set_device_memory(self, address: int, size: int) -> None:  # noqa: D102
        self.scratch = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:  # noqa: D102
        self.batch = shape[0]
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:  # noqa: D102
        self.at[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:  # noqa: D102
        Context.launched += 1
        x, frame, y = (self._view(self.at[spec.name], spec) for spec in SPECS.values())
        total = self._view(self.scratch, X)

        def work() -> None:
            self.side.sleep(self.cycles)
            torch.add(x, frame, out=total)
            self.side.sleep(self.cycles)
            torch.clamp(total, min=0, out=y)

        self.side.put(stream, work)
        return True

    def _view(self, address: int, spec: TensorSpec) -> torch.Tensor:
        """Kept: while a run is recorded, PyTorch had better ask CUDA nothing."""
        key = address, self.batch, spec.dtype
        if key not in self._views:
            self._views[key] = self.side.tensor_at(address, spec.with_batch(self.batch), spec.dtype)
        return self._views[key]


class Engine:
    """Two profiles: for a batch of one, and for more."""

    num_optimization_profiles, num_io_tensors = 2, len(SPECS)

    def __init__(self, side: TorchSide, cycles: int):
        self.side, self.cycles = side, cycles

    def get_tensor_name(self, index: int) -> str:
        """As of TensorRT, like all names below."""
        return list(SPECS)[index]

    def get_tensor_mode(self, name: str) -> str:  # noqa: D102
        return "output" if name == Y.name else "input"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:  # noqa: D102
        return (-1, *SPECS[name].shape)

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:  # noqa: D102
        return SimpleNamespace(name="UINT8" if name == FRAME.name else "FLOAT")

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:  # noqa: D102
        return [SPECS[name].with_batch(batch) for batch in ((1, 1, 1), (2, 2, MAX_BATCH))[profile]]

    def get_device_memory_size_for_profile_v2(self, profile: int) -> int:  # noqa: D102
        return int(np.prod(X.with_batch((1, MAX_BATCH)[profile]))) * 4

    def create_execution_context(self, settings: object) -> Context:  # noqa: D102
        return Context(self.side, self.cycles)


def use(side: TorchSide) -> None:
    """From here on this process's `tensorrt`."""
    trt = ModuleType("tensorrt")
    trt.__dict__.update(
        __version__=VERSION,
        TensorIOMode=SimpleNamespace(INPUT="input", OUTPUT="output"),
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="ours"),
        ILogger=type("ILogger", (), {"ERROR": 1, "INTERNAL_ERROR": 0}),
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda file: Engine(side, int(file))),
    )
    sys.modules["tensorrt"] = trt


def open_session(cycles: int, **options: Any) -> TensorRTSession:
    """A session of ours on such an engine. options: of TensorRTSession."""
    tied_to = BuiltWith(VERSION, cuda_device())
    return TensorRTSession(
        TOY, str(cycles).encode(), backend="tensorrt", built_with=tied_to, max_batch=MAX_BATCH, **options
    )
