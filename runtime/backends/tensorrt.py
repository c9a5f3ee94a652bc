"""One component on TensorRT: `tensorrt` on data-centre GPUs, `tensorrt_rtx` on RTX GPUs, by the same calls."""

from __future__ import annotations

import functools
import importlib
import threading
from collections import deque
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from cstm.errors import ContractError, EngineError, MissingDependencyError
from cstm.kernels.plugin_v3 import register_plugins
from cstm.models.contract import FRAME_GRAPH, Component, check_arrays, parts
from cstm.packages import EXTRAS
from cstm.runtime.backends import Backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.device_array import (
    NO_GPU,
    DeviceArray,
    cuda_architecture,
    cuda_device,
    cuda_errors,
    open_device,
    view,
)
from cstm.runtime.manifest import BuiltWith
from cstm.runtime.session import Session

PACKAGES = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx-cu13"}
MOST_LINES = 3
ALIGNMENT = 256  # bytes; what TensorRT asks of every address it is given
CANNOT_BUILD_FOR = {"75"}  # Turing: TensorRT-RTX 1.7 lists it, and fails when it compiles for it
DTYPES = {"FLOAT": "float32", "HALF": "float16"}  # the other types are called as in numpy


class TensorRTSession(Session):
    """A deserialised engine with its buffers, allocated once, and a CUDA stream of its own.

    specs: the component; the engine must have its inputs and outputs.
    engine: the serialised engine, or the file that holds it.
    backend: "tensorrt" or "tensorrt_rtx".
    built_with: from the bundle's manifest. Engines of `tensorrt` run only on that GPU model, those of `tensorrt_rtx`
        on any that it supports.
    max_batch: the largest batch that the engine was built for.
    stream: a CUDA stream to work on, with `__cuda_stream__` (cuda-core, CuPy, torch); a new one where None.

    MissingDependencyError: `backend`, cuda-core, a driver or a GPU is missing. EngineError: the engine belongs to
    another version or GPU model, cannot be loaded, or the GPU's memory is too small. ContractError: its inputs or
    outputs are not those of `specs`.
    """

    @cuda_errors("preparing an engine")
    def __init__(
        self,
        specs: Component,
        engine: bytes | Path,
        *,
        backend: str,
        built_with: BuiltWith,
        max_batch: int,
        stream: Any = None,
    ):
        super().__init__(specs)
        trt = _load(backend)
        check_version(specs.name, backend, trt.__version__, built_with)
        self._trt = trt
        device = open_device()
        _check_gpu(specs.name, backend, device.name, built_with)
        self.max_batch = max_batch
        self._gpu = device.device_id
        self.stream = device.create_stream(stream)
        if backend == "tensorrt_rtx" and built_with.attention == "plugin":
            register_plugins(trt)
        self._runtime = trt.Runtime(logger(trt))
        self._engine = self._runtime.deserialize_cuda_engine(
            engine if isinstance(engine, bytes) else Path(engine).read_bytes()
        )
        if self._engine is None:
            raise EngineError(f"{specs.name}: TensorRT cannot load the engine ({said(trt)}): run `cstm build`")
        _check_engine(trt, self._engine, specs, max_batch)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"{specs.name}: TensorRT cannot prepare the engine ({said(trt)}); is memory short?")
        self._buffers = {
            spec.name: DeviceArray.empty(spec.with_batch(max_batch), spec.dtype, self.stream)
            for spec in (*specs.inputs, *specs.outputs)
        }
        self._bound: dict[str, int] = {}
        for name, buffer in self._buffers.items():
            self._bind(name, buffer.ptr)
        self._batch: int | None = None
        self._in_flight: list[tuple[Any, dict[str, Any]]] = []
        self._lock = threading.RLock()

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The component's outputs: numpy arrays where all inputs are, DeviceArrays where any input is on the GPU.

        The latter are what `enqueue` returns, and hold their values until the next run. A second thread waits.
        """
        with self._lock:
            outputs = self.enqueue(inputs)
            if all(isinstance(array, np.ndarray) for array in inputs.values()):
                return {name: array.to_numpy() for name, array in outputs.items()}
            return outputs

    @cuda_errors("running an engine")
    def enqueue(self, inputs: dict[str, Any]) -> dict[str, DeviceArray]:
        """Start a run and return at once: outputs that other work on the GPU may already be queued after.

        inputs: numpy arrays, which are copied to the GPU, or arrays on this GPU (DeviceArray, DLPack,
        `__cuda_array_interface__`), C-contiguous, which are read where they lie (copied on the GPU if their address
        is no multiple of 256 bytes). They must stay unchanged until the outputs are ready.
        Returns views of the session's own buffers, **valid until the next run**: their consumers are ordered after
        this run by DLPack, `__cuda_array_interface__`, another session or `DeviceArray.order`. Sessions also make
        the next run wait for them; other consumers must be done, or take a `DeviceArray.copy`, before it starts.

        ContractError: `inputs` are not those of `specs`, or more than `max_batch`. EngineError: TensorRT refused.
        """
        with self._lock:
            if self._context is None:
                raise EngineError(f"{self.specs.name}: the session is closed")
            open_device(self._gpu)
            arrays = {name: self._readable(name, array) for name, array in inputs.items()}
            batch = self._check_batch(arrays)
            self._feed(arrays, batch)
            if not self._context.execute_async_v3(int(self.stream.handle)):
                raise EngineError(f"{self.specs.name}: TensorRT did not run a batch of {batch} ({said(self._trt)})")
            done = self.stream.record()
            self._keep(arrays, done)
            return {spec.name: self._buffers[spec.name].head(batch, done) for spec in self.specs.outputs}

    def close(self) -> None:
        """Wait for the work under way, then free the context, the engine and the buffers. May be called again."""
        with self._lock:
            if self._context is None:
                return
            open_device(self._gpu)
            self.stream.sync()
            self._context = None
            self._engine = None
            self._runtime = None
            self._buffers.clear()
            self._in_flight.clear()

    def _readable(self, name: str, array: Any) -> np.ndarray | DeviceArray:
        if isinstance(array, np.ndarray):
            return np.ascontiguousarray(array)
        return view(array, self.stream, f"{self.specs.name}: {name}")

    def _check_batch(self, arrays: dict[str, Any]) -> int:
        batch = self.specs.check_inputs(arrays)
        if batch > self.max_batch:
            raise ContractError(
                f"{self.specs.name}: a batch of {batch} exceeds the engine's {self.max_batch}: "
                f"rebuild it with `cstm build --max-batch {batch}`"
            )
        return batch

    def _feed(self, arrays: dict[str, Any], batch: int) -> None:
        for name, array in arrays.items():
            if isinstance(array, np.ndarray) or array.ptr % ALIGNMENT:
                own = self._buffers[name].head(batch)
                own.assign(array)
                self._bind(name, own.ptr)
            else:
                self._bind(name, array.ptr)
        if batch != self._batch:
            self._batch = None
            for spec in self.specs.inputs:
                if not self._context.set_input_shape(spec.name, spec.with_batch(batch)):
                    raise EngineError(f"{self.specs.name}: the engine refuses {spec.with_batch(batch)} for {spec.name}")
            self._batch = batch

    def _bind(self, name: str, address: int) -> None:
        if self._bound.get(name) != address:
            if not self._context.set_tensor_address(name, address):
                raise EngineError(f"{self.specs.name}: the engine refuses the address of {name}")
            self._bound[name] = address

    def _keep(self, arrays: dict[str, Any], done: Any) -> None:
        """Hold the inputs until they are read, and let sessions that made them overwrite them only then."""
        self._in_flight = [(event, held) for event, held in self._in_flight if not event.is_done]
        self._in_flight.append((done, arrays))
        for array in arrays.values():
            if isinstance(array, DeviceArray) and array.stream != self.stream:
                array.stream.wait(done)


def _load(backend: str) -> ModuleType:
    try:
        return importlib.import_module(backend)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f'{backend} cannot be imported ({error}): pip install "cstm[{EXTRAS[backend]}]"'
        ) from error


@functools.cache
def logger(trt: Any) -> Any:
    """Keeps TensorRT's errors, for ours to say. TensorRT keeps the first logger it is given for the whole process."""

    class Errors(trt.ILogger):
        """The last lines that TensorRT called errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: deque[str] = deque(maxlen=MOST_LINES)

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any thread."""
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.lines.append(" ".join(message.split()))

    return Errors()


def said(trt: Any) -> str:
    """TensorRT's last errors in one line, which are then forgotten."""
    lines = logger(trt).lines
    told = "; ".join(lines) or "it gave no reason"
    lines.clear()
    return told


def tensorrt_version(name: str) -> str | None:
    """The version of the TensorRT called `name`, "tensorrt" or "tensorrt_rtx", by its module; None where there is none,
    or none that can be loaded."""
    try:
        return importlib.import_module(name).__version__
    except (ImportError, OSError):
        return None


def check_version(name: str, backend: str, version: str | None, built_with: BuiltWith) -> None:
    """EngineError unless the engine was built with this version of `backend`'s module."""
    built = built_with.tensorrt
    if version != built:
        raise EngineError(
            f"{name}: the engine was built with {backend} {built}, but {version} is installed: "
            f"rebuild it with `cstm build`, or install {backend} {built}"
        )


def unsupported_gpu(backend: str) -> str | None:
    """Why TensorRT-RTX does not run on the GPU that is here; None where it does, where there is none, and for
    `tensorrt`."""
    architecture = cuda_architecture()
    if backend != "tensorrt_rtx" or architecture is None:
        return None
    named = importlib.import_module(backend).ComputeCapability.__members__
    known = {name.removeprefix("SM") for name in named if name.startswith("SM")} - CANNOT_BUILD_FOR
    if architecture in known:
        return None
    this, *those = (f"{a[:-1]}.{a[-1]}" for a in (architecture, *sorted(known, key=int)))
    return (
        f"{cuda_device()} has compute capability {this}, and TensorRT-RTX runs on {', '.join(those)}; "
        "use tensorrt, or onnxruntime-cuda"
    )


def _check_gpu(name: str, backend: str, gpu: str, built_with: BuiltWith) -> None:
    if backend == "tensorrt" and built_with.gpu != gpu:
        raise EngineError(
            f"{name}: the engine was built on {built_with.gpu}, but this GPU is {gpu}: rebuild it with `cstm build`"
        )


def _check_engine(trt: Any, engine: Any, specs: Component, max_batch: int) -> None:
    """ContractError unless the engine's inputs and outputs are those of `specs`; EngineError unless batches fit."""
    found: dict[Any, dict[str, Any]] = {trt.TensorIOMode.INPUT: {}, trt.TensorIOMode.OUTPUT: {}}
    for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
        shape = tuple(engine.get_tensor_shape(name))
        if shape and shape[0] == -1:
            shape = (max_batch, *shape[1:])
        dtype = engine.get_tensor_dtype(name).name
        found[engine.get_tensor_mode(name)][name] = SimpleNamespace(shape=shape, dtype=DTYPES.get(dtype, dtype.lower()))
    fixed = {
        check_arrays(f"engine of {specs.name}, inputs", specs.inputs, found[trt.TensorIOMode.INPUT]),
        check_arrays(f"engine of {specs.name}, outputs", specs.outputs, found[trt.TensorIOMode.OUTPUT]),
    }
    largest = min(engine.get_tensor_profile_shape(spec.name, 0)[2][0] for spec in specs.inputs if not spec.once)
    if fixed != {max_batch} or largest < max_batch:
        raise EngineError(f"{specs.name}: the engine takes batches up to {largest}, not {max_batch}: run `cstm build`")


class TensorRTBackend(Backend):
    """Engines of one TensorRT. FP16 first: it is what the GPU is for."""

    def __init__(self, name: str):
        super().__init__(name)
        self.package, self.extra = PACKAGES[name], EXTRAS[name]

    def import_library(self) -> ModuleType:
        """As Backend.import_library."""
        return importlib.import_module(self.name)

    def version(self) -> str | None:
        """The library's own word: its distribution may be called tensorrt, tensorrt-cu12 or tensorrt-cu13."""
        return tensorrt_version(self.name)

    def require(self, bundle: Bundle | None = None) -> None:
        """As Backend.require. Engines of another version are refused before a GPU is looked for."""
        super().require(bundle)
        engines = [e for e in bundle.manifest.engines if e.backend == self.name] if bundle else []
        for engine in engines:
            check_version(engine.component, self.name, self.version(), engine.built_with)
        if cuda_device() is None:
            raise MissingDependencyError(f"{self.name}: {NO_GPU}")
        if problem := unsupported_gpu(self.name):
            raise MissingDependencyError(f"{self.name}: {problem}")

    def precisions(self, bundle: Bundle) -> tuple[str, ...]:
        """As Backend.precisions."""
        return tuple(p for p in ("fp16", "fp32", "int8") if bundle.engines(self.name, p))

    def links(self, bundle: Bundle, precision: str) -> bool:
        """As Backend.links."""
        return FRAME_GRAPH in bundle.engines(self.name, precision)

    def open_component(self, bundle: Bundle, component: str, precision: str) -> Session:
        """As Backend.open_component."""
        engine = bundle.engines(self.name, precision)[component]
        return TensorRTSession(
            parts(bundle.config)[component],
            bundle.file(engine.file),
            backend=self.name,
            built_with=engine.built_with,
            max_batch=bundle.max_batch,
        )


def make(name: str) -> Backend:
    """The backend."""
    return TensorRTBackend(name)
