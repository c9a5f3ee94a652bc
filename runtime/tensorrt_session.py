"""One component on TensorRT: `tensorrt` on data-centre GPUs, `tensorrt_rtx` on RTX GPUs, by the same calls."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from cstm.errors import ContractError, EngineError
from cstm.kernels.plugin_v3 import register_plugins
from cstm.models.contract import Component, check_arrays
from cstm.runtime.cuda_graphs import CudaGraphs
from cstm.runtime.device_array import DeviceArray, cuda_errors, open_device, view
from cstm.runtime.engine_context import EngineContext
from cstm.runtime.manifest import BuiltWith
from cstm.runtime.rtx_cache import RuntimeCache
from cstm.runtime.session import Session
from cstm.runtime.staging import Staging
from cstm.runtime.tensorrt_library import check_gpu, check_validity, check_version, load, logger, said
from cstm.runtime.workspace import Workspace

ALIGNMENT = 256  # bytes; what TensorRT asks of every address it is given
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
    workspace: scratch memory to share with sessions that never run at once; its own where None.
    cache: the file for what TensorRT-RTX compiles at run time; None to keep nothing.

    Runs that come again are replayed as CUDA graphs (`graphs`), unless CSTM_CUDA_GRAPHS=0 is in the environment.

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
        workspace: Workspace | None = None,
        cache: Path | None = None,
    ):
        super().__init__(specs)
        trt = load(backend)
        check_version(specs.name, backend, trt.__version__, built_with)
        device = open_device()
        check_gpu(specs.name, backend, device.name, device.arch, built_with)
        self.max_batch = max_batch
        self._gpu = device.device_id
        self.stream = device.create_stream(stream)
        if backend == "tensorrt_rtx" and built_with.attention == "plugin":
            register_plugins(trt)
        self._runtime = trt.Runtime(logger(trt))
        self._engine = self._deserialise(trt, engine, built_with)
        _check_engine(trt, self._engine, specs, max_batch)
        self._cache = RuntimeCache(trt, self._engine, cache) if backend == "tensorrt_rtx" else None
        settings = self._cache.settings if self._cache else trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._contexts = [
            EngineContext(specs.name, trt, self._engine, profile, settings, self.stream)
            for profile in range(self._engine.num_optimization_profiles)
        ]
        self.workspace = workspace or Workspace()
        self.workspace.reserve(max(context.scratch for context in self._contexts), self.stream)
        self.graphs = CudaGraphs(specs.name, self.stream)
        self._staged: dict[str, Staging] = {}
        self._outputs = {
            spec.name: DeviceArray.empty(spec.with_batch(max_batch), spec.dtype, self.stream) for spec in specs.outputs
        }
        self._batches: set[int] = set()
        self._in_flight: list[tuple[Any, list[DeviceArray]]] = []
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

        inputs: numpy arrays, which are copied and may be changed at once, or arrays on this GPU (DeviceArray, DLPack,
        `__cuda_array_interface__`), C-contiguous, which are read where they lie (copied on the GPU if their address
        is no multiple of 256 bytes) and must stay unchanged until the outputs are ready.
        Returns views of the session's own buffers, **valid until the next run**: their consumers are ordered after
        this run by DLPack, `__cuda_array_interface__`, another session or `DeviceArray.order`. Sessions also make
        the next run wait for them; other consumers must be done, or take a `DeviceArray.copy`, before it starts.

        ContractError: `inputs` are not those of `specs`, or more than `max_batch`. EngineError: TensorRT refused.
        """
        with self._lock:
            if not self._contexts:
                raise EngineError(f"{self.specs.name}: the session is closed")
            open_device(self._gpu)
            given = {name: self._readable(name, array) for name, array in inputs.items()}
            batch = self._check_batch(given)
            arrays = {name: self._on_gpu(name, array) for name, array in given.items()}
            self._launch(arrays, batch)
            done = self.stream.record()
            self._hold([array for array in given.values() if isinstance(array, DeviceArray)], done)
            return self._answers(batch, done)

    def close(self) -> None:
        """Wait for the work under way, then free the contexts, the engine and the buffers. May be called again."""
        with self._lock:
            if not self._contexts:
                return
            open_device(self._gpu)
            self.stream.sync()
            if self._cache is not None:
                self._cache.keep()
            self.graphs.clear()
            self._contexts.clear()
            self._cache = self._engine = self._runtime = None
            self._staged.clear()
            self._outputs.clear()
            self._in_flight.clear()

    def _deserialise(self, trt: Any, engine: bytes | Path, built_with: BuiltWith) -> Any:
        data = engine if isinstance(engine, bytes) else Path(engine).read_bytes()
        check_validity(self.specs.name, trt, self._runtime, data)
        if built_with.version_compatible:
            self._runtime.engine_host_code_allowed = True  # such engines carry the runtime that they were built with
        opened = self._runtime.deserialize_cuda_engine(data)
        if opened is None:
            raise EngineError(f"{self.specs.name}: TensorRT cannot load the engine ({said(trt)}): run `cstm build`")
        return opened

    def _readable(self, name: str, array: Any) -> np.ndarray | DeviceArray:
        return array if isinstance(array, np.ndarray) else view(array, self.stream, f"{self.specs.name}: {name}")

    def _check_batch(self, arrays: Mapping[str, Any]) -> int:
        batch = self.specs.check_inputs(dict(arrays))
        if batch > self.max_batch:
            raise ContractError(
                f"{self.specs.name}: a batch of {batch} exceeds the engine's {self.max_batch}: "
                f"rebuild it with `cstm build --max-batch {batch}`"
            )
        return batch

    def _on_gpu(self, name: str, array: np.ndarray | DeviceArray) -> DeviceArray:
        """Where the engine will read it: a buffer of ours for what comes from the host or lies badly."""
        if isinstance(array, DeviceArray) and array.ptr % ALIGNMENT == 0:
            return array
        if name not in self._staged:
            spec = next(spec for spec in self.specs.inputs if spec.name == name)
            self._staged[name] = Staging(spec.with_batch(self.max_batch), spec.dtype, self.stream)
        return self._staged[name].put(array)

    def _launch(self, arrays: Mapping[str, DeviceArray], batch: int) -> None:
        """Put the run on the stream: the first profile is for a batch of one, the last for all others."""
        context = self._contexts[0 if batch == 1 else -1]
        addresses = {name: array.ptr for name, array in (*arrays.items(), *self._outputs.items())}
        shapes = {name: array.shape for name, array in arrays.items()}
        with self.workspace.held(context.scratch, self.stream) as scratch:
            context.bind(addresses, shapes, scratch)
            key = (batch, scratch, *addresses.values())
            self.graphs.run(key, context, lambda: self._values(batch))
        if self._cache is not None and batch not in self._batches:
            self._cache.keep()
        self._batches.add(batch)

    def _answers(self, batch: int, done: Any) -> dict[str, DeviceArray]:
        return {spec.name: self._outputs[spec.name].head(batch, done) for spec in self.specs.outputs}

    def _values(self, batch: int) -> dict[str, np.ndarray]:
        return {name: array.to_numpy() for name, array in self._answers(batch, self.stream).items()}

    def _hold(self, arrays: list[DeviceArray], done: Any) -> None:
        """Keep inputs alive until they are read, and let sessions that made them overwrite them only then."""
        self._in_flight = [(event, held) for event, held in self._in_flight if not event.is_done]
        self._in_flight.append((done, arrays))
        for array in arrays:
            if array.stream != self.stream:
                array.stream.wait(done)


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
    name = next(spec.name for spec in specs.inputs if not spec.once)
    ranges = [engine.get_tensor_profile_shape(name, profile) for profile in range(engine.num_optimization_profiles)]
    least, most = ranges[0][0][0], ranges[-1][2][0]
    if fixed != {max_batch} or least > 1 or most < max_batch:
        raise EngineError(f"{specs.name}: the engine takes batches up to {most}, not {max_batch}: run `cstm build`")
