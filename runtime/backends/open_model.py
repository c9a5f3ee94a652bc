"""One ONNX file as a session: what plans and benchmarks try models with, outside a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cstm.models.contract import Component
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.backends.openvino import OpenVINOSession
from cstm.runtime.session import Session

OpenModel = Callable[[Component, Path], Session]

# By backend. Those that run engines have to build one first: `export.open_engine`.
OPEN_MODEL: dict[str, OpenModel] = {"openvino": OpenVINOSession, "onnxruntime": OnnxRuntimeSession}
