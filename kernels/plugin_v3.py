"""The first door to TensorRT: plugins as a Python class, which needs no GPU to build and works with TensorRT-RTX.

The engine keeps the kernel's PTX; a process that opens it needs this module, cuda-bindings and the driver, no Triton.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from cstm.errors import EngineError
from cstm.kernels.call import STEPS, VERSION, KernelCall

NAMESPACE = "cstm"
DTYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BF16"}


@cache
def register_plugins(trt: ModuleType) -> None:
    """Make the plugins known to `trt`, the module tensorrt or tensorrt_rtx, for this process."""
    registry = trt.get_plugin_registry()
    plugin_class = _plugin_class(trt)
    for name in STEPS:
        if not registry.register_creator(_creator_class(trt, plugin_class)(name), NAMESPACE):
            raise EngineError(f"{trt.__name__} does not take the plugin {name}")


def _plugin_class(trt: ModuleType) -> Callable[[str, KernelCall], Any]:
    plugin: Any = trt.IPluginV3
    core: Any = trt.IPluginV3OneCore
    build: Any = trt.IPluginV3OneBuild
    runtime: Any = trt.IPluginV3OneRuntime

    class KernelPlugin(plugin, core, build, runtime):
        """Launches one kernel on the stream it is given."""

        def __init__(self, name: str, call: KernelCall):
            for base in (plugin, core, build, runtime):
                base.__init__(self)
            self.plugin_name, self.plugin_version, self.plugin_namespace = name, VERSION, NAMESPACE
            self.num_outputs = 1
            self.call, self.function = call, None
            self.kept = {name: text.encode() for name, text in call.fields().items()}

        def get_capability_interface(self, kind: Any) -> Any:
            return self

        def get_output_data_types(self, input_types: Any) -> list[Any]:
            return [_dtype(trt, self.call)]

        def get_output_shapes(self, inputs: Any, shape_inputs: Any, builder: Any) -> list[Any]:
            shape = trt.DimsExprs(1 + len(self.call.shape))
            shape[0] = inputs[0][0]
            for axis, size in enumerate(self.call.shape, 1):
                shape[axis] = builder.constant(size)
            return [shape]

        def supports_format_combination(self, position: int, tensors: Any, num_inputs: int) -> bool:
            tensor = tensors[position].desc
            fits = position < num_inputs or tensor.type == _dtype(trt, self.call)
            return fits and tensor.format == trt.TensorFormat.LINEAR

        def configure_plugin(self, inputs: Any, outputs: Any) -> None:
            pass

        def on_shape_change(self, inputs: Any, outputs: Any) -> None:
            pass

        def get_fields_to_serialize(self) -> Any:
            fields = [trt.PluginField(name, data, trt.PluginFieldType.CHAR) for name, data in self.kept.items()]
            return trt.PluginFieldCollection(fields)

        def attach_to_context(self, context: Any) -> KernelPlugin:
            attached = self.clone()
            attached.function = _load(self.call)  # now, since a stream under capture allows no loading
            return attached

        def enqueue(
            self, input_desc: Any, output_desc: Any, inputs: Any, outputs: Any, workspace: int, stream: int
        ) -> None:
            call, batch = self.call, input_desc[0].dims[0]
            values = [*inputs, *call.scalars, outputs[0]]
            kinds = [ctypes.c_void_p] * len(inputs) + [ctypes.c_int32] * len(call.scalars) + [ctypes.c_void_p]
            _launch(self.function, (call.blocks * batch, call.columns), call, (tuple(values), tuple(kinds)), stream)

        def set_tactic(self, tactic: int) -> None:
            pass

        def clone(self) -> KernelPlugin:
            return KernelPlugin(self.plugin_name, self.call)

    return KernelPlugin


def _creator_class(trt: ModuleType, plugin_class: Callable[[str, KernelCall], Any]) -> Callable[[str], Any]:
    creator: Any = trt.IPluginCreatorV3One

    class Creator(creator):
        """Makes a plugin from an ONNX node's attributes, or from an engine."""

        def __init__(self, name: str):
            creator.__init__(self)
            self.name, self.plugin_namespace, self.plugin_version = name, NAMESPACE, VERSION
            fields = [trt.PluginField(field, b"", trt.PluginFieldType.CHAR) for field in ("ptx", "call")]
            self.field_names = trt.PluginFieldCollection(fields)

        def create_plugin(self, name: str, fields: Any, phase: Any) -> Any:
            texts = {field.name: bytes(field.data).rstrip(b"\0").decode() for field in fields}
            return plugin_class(self.name, KernelCall.from_fields(texts["ptx"], texts["call"]))

    return Creator


def _dtype(trt: ModuleType, call: KernelCall) -> Any:
    return getattr(trt.DataType, DTYPES[call.dtype])


def _load(call: KernelCall) -> Any:
    """The kernel, loaded into the current context."""
    from cuda.bindings import driver

    return _load_into(int(_checked(driver.cuCtxGetCurrent(), "asking for the context")), call.ptx, call.entry)


@cache
def _load_into(context: int, ptx: str, entry: str) -> Any:
    """Kept for the life of the process: plugins of one shape share it. The driver compiles the PTX."""
    from cuda.bindings import driver

    module = _checked(driver.cuModuleLoadData(ptx.encode() + b"\0"), f"loading {entry}")
    return _checked(driver.cuModuleGetFunction(module, entry.encode()), f"finding {entry}")


def _launch(
    function: Any, grid: tuple[int, int], call: KernelCall, arguments: tuple[tuple, tuple], stream: int
) -> None:
    from cuda.bindings import driver

    block = (call.threads, 1, 1)
    done = driver.cuLaunchKernel(function, *grid, 1, *block, call.shared, stream, arguments, 0)
    _checked(done, f"launching {call.entry} on {math.prod(grid)} programs")


def _checked(answer: tuple, what: str) -> Any:
    """The driver's answer without its error code. EngineError when that is one."""
    error, *values = answer
    if int(error) != 0:
        raise EngineError(f"{what}: the driver answers {error.name}")
    return values[0] if values else None
