"""CSTM: language-queried video segmentation, from a checkpoint to engines and masks."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cstm.errors import CSTMError
    from cstm.models.checkpoint import load_checkpoint
    from cstm.models.config import CSTMConfig
    from cstm.models.cstm import CSTM
    from cstm.runtime.bundle import Bundle
    from cstm.runtime.frame_masks import FrameMasks
    from cstm.runtime.segmenter import Segmenter

    __version__: str

_PUBLIC = {
    "Segmenter": "cstm.runtime.segmenter",
    "FrameMasks": "cstm.runtime.frame_masks",
    "Bundle": "cstm.runtime.bundle",
    "CSTM": "cstm.models.cstm",
    "CSTMConfig": "cstm.models.config",
    "load_checkpoint": "cstm.models.checkpoint",
    "CSTMError": "cstm.errors",
}
__all__ = ["CSTM", "Bundle", "CSTMConfig", "CSTMError", "FrameMasks", "Segmenter", "__version__", "load_checkpoint"]

if find_spec("cstm.runtime") is None:
    raise ImportError(
        f"{__path__[0]} is only a part of the source: the other folders are installed elsewhere, or not at all. "
        "Run from another folder, or in its root: pip install -e ."
    )


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that the runtime never pays for PyTorch."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("cstm")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'cstm' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
