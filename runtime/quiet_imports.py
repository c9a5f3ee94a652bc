"""Libraries that report their use to their makers are imported without that: nothing is sent or written unasked."""

from __future__ import annotations

import os
import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """The module `openvino`, which without its telemetry package takes a stub of its own.

    The package would write an identity into HOME, and fail where there is none (a container with a free user id).
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: "not there"
    import openvino

    return openvino


def import_onnxruntime() -> ModuleType:
    """The module `onnxruntime`."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
