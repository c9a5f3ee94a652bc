"""A TensorRT with one engine, the toy component's, which puts its work on the streams of `fake_gpu` or of a driver."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np

from cstm.models.contract import Component, TensorSpec
from cstm.runtime import tensorrt_library
from cstm.runtime.manifest import BuiltWith

from .fake_gpu import FakeStream

X, FRAME, Y = TensorSpec("x", (3, 4)), TensorSpec("frame", (3, 4), "uint8"), TensorSpec("y", (3, 4))
TOY = Component("toy", (X, FRAME), (Y,))  # y = x + frame
MAX_BATCH = 4
BUILT_WITH = BuiltWith("11.4.0", "Fake GPU")
TENSORS = {"x": ((-1, 3, 4), "FLOAT"), "frame": ((-1, 3, 4), "UINT8"), "y": ((-1, 3, 4), "FLOAT")}
SCRATCH = 3 * 4 * 4  # bytes for each of a batch
Put = Callable[[int, Callable[[], object]], object]  # onto the stream with a handle, a step of work


def toy_inputs(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 255, FRAME.with_batch(batch), dtype=np.uint8)
    return {"x": rng.standard_normal(X.with_batch(batch), dtype=np.float32), "frame": frame}


def toy_output(inputs: dict) -> np.ndarray:
    return inputs["x"] + inputs["frame"].astype(np.float32)


def array_at(address: int, spec: TensorSpec, shape: tuple[int, ...]) -> np.ndarray:
    pointer = ctypes.cast(address, ctypes.POINTER(np.ctypeslib.as_ctypes_type(spec.dtype)))
    return np.ctypeslib.as_array(pointer, shape)


def put_on_fake_gpu(stream_handle: int, step: Callable[[], object]) -> None:
    FakeStream.from_handle(stream_handle).queue.add(step)


@dataclass
class FakeContext:
    """Addresses and shapes are those of the call; what lies there is read and written when the run's turn comes."""

    put: Put = put_on_fake_gpu
    shapes: list = field(default_factory=list)
    addresses: dict = field(default_factory=dict)
    profile: int | None = None
    scratch: tuple | None = None

    def set_optimization_profile_async(self, profile, stream_handle):
        self.profile = profile
        return True

    def set_device_memory(self, address, size):
        self.scratch = address, size

    def is_stream_capturable(self, stream_handle):
        return True

    def set_input_shape(self, name, shape):
        self.shapes.append((name, shape))
        return shape[0] <= MAX_BATCH

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle):
        assert isinstance(stream_handle, int)
        shape = self.shapes[-1][1]
        x, frame, y = (array_at(self.addresses[spec.name], spec, shape) for spec in (X, FRAME, Y))
        scratch = array_at(self.scratch[0], X, shape)  # as engines do, it keeps what it has half done there
        self.put(stream_handle, lambda: np.copyto(scratch, x))
        self.put(stream_handle, lambda: np.add(scratch, frame, out=y))
        return True


class FakeSettings:
    """TensorRT-RTX's IRuntimeConfig. compiled: what its cache holds after a run. taken: what it was given."""

    compiled: ClassVar[bytes] = b"kernels"
    taken: ClassVar[list[bytes]] = []

    def set_execution_context_allocation_strategy(self, strategy):
        self.strategy = strategy

    def create_runtime_cache(self):
        return SimpleNamespace(serialize=lambda: self.compiled, deserialize=lambda blob: not self.taken.append(blob))

    def set_runtime_cache(self, cache):
        self.cache = cache


@dataclass
class FakeEngine:
    """Its contexts are those of `contexts`, in turn: for a batch of one, and for more; further ones are new."""

    tensors: dict = field(default_factory=lambda: dict(TENSORS))
    put: Put = put_on_fake_gpu
    profile: int = MAX_BATCH
    contexts: list = field(init=False)
    given: int = 0
    settings: list = field(default_factory=list)
    num_optimization_profiles = 2

    def __post_init__(self):
        self.contexts = [FakeContext(self.put), FakeContext(self.put)]

    num_io_tensors = property(lambda self: len(self.tensors))
    one, context = property(lambda self: self.contexts[0]), property(lambda self: self.contexts[1])

    def create_runtime_config(self):
        return FakeSettings()

    def get_device_memory_size_for_profile_v2(self, profile):
        return SCRATCH * (1, self.profile)[profile]

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return "out" if name.startswith("y") else "in"

    def get_tensor_shape(self, name):
        return self.tensors[name][0]

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=self.tensors[name][1])

    def get_tensor_profile_shape(self, name, profile):
        return [(batch, 3, 4) for batch in ((1, 1, 1), (2, 2, self.profile))[profile]]

    def create_execution_context(self, settings):
        self.settings.append(settings)
        self.given += 1
        return self.contexts[self.given - 1] if self.given <= len(self.contexts) else FakeContext(self.put)


def fake_module(name: str, engine: FakeEngine) -> ModuleType:
    """`tensorrt` or `tensorrt_rtx`, which reads b"toy" as `engine`, and says something of b"broken"."""
    trt = ModuleType(name)
    trt.__version__ = BUILT_WITH.tensorrt
    trt.ILogger = type("ILogger", (), {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2})
    trt.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    trt.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="ours")
    trt.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")

    def deserialise(data):
        if data == b"broken":
            tensorrt_library.logger(trt).log(2, "a warning that nobody asked for")
            tensorrt_library.logger(trt).log(1, "IRuntime::deserializeCudaEngine:\n magic tag does not match")
        return {b"toy": engine}.get(data)

    trt.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=deserialise)
    return trt
