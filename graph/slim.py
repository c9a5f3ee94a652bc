"""Graphs without what is not needed, and the exporters without their talk."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import onnxslim

OPSET = 20


def slim(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with constants folded, common subexpressions shared and dead nodes gone."""
    with quiet():
        return onnxslim.slim(model)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters' notes to console and log; errors are raised all the same."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
