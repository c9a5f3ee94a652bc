"""The second door to TensorRT: the same plugins through its decorators, ahead of time, for the data-centre `tensorrt`.

TensorRT keeps the kernel inside the engine and launches it itself: the engine runs without Python.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import GenericAlias, ModuleType
from typing import Any

from cstm.kernels.call import STEPS, KernelCall
from cstm.kernels.plugin_v3 import DTYPES, NAMESPACE


@cache
def register_aot_plugins(trt: ModuleType, trtp: ModuleType) -> None:
    """Make the plugins known for this process. trt, trtp: the modules `tensorrt` and `tensorrt.plugin`."""
    for name, count in STEPS.items():
        plugin, inputs = f"{NAMESPACE}::{name}", [f"input_{index}" for index in range(count)]
        given = dict.fromkeys(inputs, trtp.TensorDesc) | {"ptx": str, "call": str}
        trtp.register(plugin)(_signed(_describer(trt, trtp), given, trtp.TensorDesc))
        result = GenericAlias(tuple, (str, str, trtp.KernelLaunchParams, trtp.SymIntExprs))
        more = {"outputs": GenericAlias(tuple, (trtp.TensorDesc,)), "tactic": int}
        trtp.aot_impl(plugin)(_signed(_implementer(trtp), given | more, result))


def _describer(trt: ModuleType, trtp: ModuleType) -> Callable:
    def describe(*inputs_and_fields: Any) -> Any:
        """The output's shape and dtype."""
        *inputs, ptx, call = inputs_and_fields
        made = KernelCall.from_fields(ptx, call)
        shape = trtp.ShapeExprs.from_tuple((inputs[0].shape_expr[0], *made.shape))
        return trtp.TensorDesc(shape, getattr(trt.DataType, DTYPES[made.dtype]))

    return describe


def _implementer(trtp: ModuleType) -> Callable:
    def implement(*inputs_and_fields: Any) -> tuple[str, str, Any, Any]:
        """The kernel, its grid as expressions of the batch, and its integers."""
        *inputs, ptx, call, _outputs, _tactic = inputs_and_fields
        made = KernelCall.from_fields(ptx, call)
        launch = trtp.KernelLaunchParams()
        launch.grid_x = inputs[0].shape_expr[0] * made.blocks
        launch.grid_y = made.columns
        launch.block_x = made.threads
        launch.shared_mem = made.shared
        scalars = trtp.SymIntExprs(len(made.scalars))
        for index, value in enumerate(made.scalars):
            scalars[index] = trtp.SymInt32(value)
        return made.entry, made.ptx, launch, scalars

    return implement


def _signed(function: Callable, parameters: dict[str, Any], result: Any) -> Callable:
    """`function(*args)` with named, typed parameters, which TensorRT reads from its signature and may pass by name."""

    def signed(*args: Any, **named: Any) -> Any:
        return function(*args, *(named[name] for name in list(parameters)[len(args) :]))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    fields = [inspect.Parameter(name, kind, annotation=annotation) for name, annotation in parameters.items()]
    signed.__dict__["__signature__"] = inspect.Signature(fields, return_annotation=result)
    return signed
