"""One optimisation profile of an engine, ready to run: it is told only what has changed since its last run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cstm.errors import EngineError
from cstm.runtime.tensorrt_library import said

if TYPE_CHECKING:
    from cuda.core import Stream


class EngineContext:
    """An execution context that is bound to one profile.

    settings: TensorRT-RTX's `IRuntimeConfig`, or TensorRT's allocation strategy; either leaves scratch memory to us.
    scratch: bytes of it that a run needs. EngineError when TensorRT gives no context.
    """

    def __init__(self, name: str, trt: Any, engine: Any, profile: int, settings: Any, stream: Stream):
        self.name = name
        self._trt, self._stream = trt, stream
        self._context = engine.create_execution_context(settings)
        if self._context is None or not self._context.set_optimization_profile_async(profile, int(stream.handle)):
            raise EngineError(f"{name}: TensorRT cannot prepare the engine ({said(trt)}); is memory short?")
        self.scratch = int(engine.get_device_memory_size_for_profile_v2(profile))
        self._scratch_at: int | None = None
        self._at: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def bind(self, addresses: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]], scratch: int) -> None:
        """Say where each input and output lies, what shape each input has, and where scratch memory is."""
        if self._scratch_at != scratch:
            self._context.set_device_memory(scratch, self.scratch)
            self._scratch_at = scratch
        for name, address in addresses.items():
            if self._at.get(name) != address:
                if not self._context.set_tensor_address(name, address):
                    raise EngineError(f"{self.name}: the engine refuses the address of {name}")
                self._at[name] = address
        for name, shape in shapes.items():
            if self._shapes.get(name) != shape:
                self._shapes.pop(name, None)
                if not self._context.set_input_shape(name, shape):
                    raise EngineError(f"{self.name}: the engine refuses {shape} for {name}")
                self._shapes[name] = shape

    def launch(self) -> None:
        """Put the run on the stream. EngineError when TensorRT refuses."""
        if not self._context.execute_async_v3(int(self._stream.handle)):
            raise EngineError(f"{self.name}: TensorRT did not run {self._shapes} ({said(self._trt)})")

    @property
    def can_be_recorded(self) -> bool:
        """Whether a run like the last may be recorded in a CUDA graph, as far as TensorRT tells."""
        ask = getattr(self._context, "is_stream_capturable", None)
        return ask is None or bool(ask(int(self._stream.handle)))
