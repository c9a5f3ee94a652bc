"""What our code asks of TensorRT is there and takes those arguments, by the bindings themselves: TensorRT-RTX's, and
those of TensorRT's lean runtime, which is small enough to be installed for this and builds no engines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RUNTIME = Path(__file__).parents[2] / "runtime"
# By file: whose members an expression of ours has; "" is the module.
OWNERS = {
    "tensorrt_library.py": {"trt": "", "load(backend)": "", "runtime": "Runtime"},
    "tensorrt_session.py": {
        "trt": "",
        "engine": "ICudaEngine",
        "self._engine": "ICudaEngine",
        "self._runtime": "Runtime",
    },
    "engine_context.py": {"engine": "ICudaEngine", "self._context": "IExecutionContext"},
    "rtx_cache.py": {
        "trt": "",
        "engine": "ICudaEngine",
        "self.settings": "IRuntimeConfig",
        "self._cache": "IRuntimeCache",
    },
}
# Asked of TensorRT-RTX alone, or only where it is there.
NOT_IN_LEAN = {
    "ComputeCapability",
    "DynamicShapesKernelSpecializationStrategy",
    "EngineInvalidityDiagnostics",
    "EngineValidity",
    "IExecutionContext.is_stream_capturable",
    "IRuntimeCache",
    "IRuntimeConfig.create_runtime_cache",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
    "IRuntimeConfig.set_runtime_cache",
    "Runtime.engine_header_size",
    "Runtime.get_engine_validity",
}


def uses(file: str) -> Iterator[tuple[str, ast.Call | None]]:
    """Each name of TensorRT in a file of ours, as "Runtime.deserialize_cuda_engine", with its call if it is one."""
    tree = ast.parse((RUNTIME / file).read_text(encoding="utf-8"))
    calls = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute():
                text = ast.unparse(node)
            case ast.Call(ast.Name("getattr" | "hasattr"), [holder, ast.Constant(str(name)), *_]):
                text = f"{ast.unparse(holder)}.{name}"
            case _:
                continue
        for expression, owner in OWNERS[file].items():
            if found := re.fullmatch(rf"{re.escape(expression)}((\.\w+)+)", text):
                yield f"{owner}{found[1]}".removeprefix("."), calls.get(node)


def look_up(trt: ModuleType, name: str) -> tuple[Any, str | None]:
    """What TensorRT calls so; and the part of the name that it does not have, if there is one."""
    found, parts = trt, name.split(".")
    for count, part in enumerate(parts, 1):
        if not hasattr(found, part):
            return None, ".".join(parts[:count])
        found = getattr(found, part)
    return found, None


def takes(function: Any, call: ast.Call) -> bool:
    """Whether a call has as many arguments as one of the signatures in a binding's documentation."""
    documentation = re.sub(r"<.*?>", "", (function.__init__ if isinstance(function, type) else function).__doc__)
    for signature in re.findall(r"\(self: (.*?)\) ->", documentation):
        _, *parameters = signature.split(", ")
        required = sum(" = " not in parameter for parameter in parameters)
        if required <= len(call.args) + len(call.keywords) <= len(parameters):
            return True
    return False


@pytest.mark.parametrize("file", OWNERS)
@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt_lean"])
def test_what_is_asked_of_tensorrt_is_there(module, file):
    trt = pytest.importorskip(module, reason=f"{module} is not installed")
    missing, wrong = set(), []
    for name, call in uses(file):
        found, lacking = look_up(trt, name)
        if lacking:
            missing.add(lacking)
        elif call and not name.endswith("__") and not takes(found, call):
            wrong.append(ast.unparse(call))
    assert missing <= (NOT_IN_LEAN if module == "tensorrt_lean" else set()) and not wrong


def test_what_does_not_fit_is_seen():
    """So the test above can fail."""
    trt = pytest.importorskip("tensorrt_rtx")
    assert {"Runtime", "Runtime.deserialize_cuda_engine", "TensorIOMode.INPUT"} <= {
        name for name, _ in uses("tensorrt_session.py")
    }
    set_profile, _ = look_up(trt, "IExecutionContext.set_optimization_profile_async")
    for arguments, fit in (("0, 1", True), ("0", False), ("0, 1, 2", False)):
        call = ast.parse(f"context.set_optimization_profile_async({arguments})", mode="eval").body
        assert takes(set_profile, call) == fit
    assert look_up(trt, "Runtime.no_such_thing.at_all") == (None, "Runtime.no_such_thing")


@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt_lean"])
def test_types_are_called_as_we_call_them(module):
    trt = pytest.importorskip(module, reason=f"{module} is not installed")
    assert {"FLOAT", "HALF", "UINT8", "INT64", "BOOL"} <= set(trt.DataType.__members__)
