"""CSTM: language-queried video segmentation, from a checkpoint to engines and masks."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "Segmenter": "cstm.runtime.segmenter",
    "FrameMasks": "cstm.runtime.segmenter",
    "Bundle": "cstm.runtime.bundle",
    "CSTM": "cstm.models.cstm",
    "CSTMConfig": "cstm.models.config",
    "load_checkpoint": "cstm.models.checkpoint",
    "CSTMError": "cstm.errors",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that the runtime never pays for PyTorch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'cstm' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
