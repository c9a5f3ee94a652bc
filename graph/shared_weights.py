"""Weights that a model takes from the files of others, so that they are on the disk once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx
from onnx.external_data_helper import set_external_data

LEAST = 1024  # bytes; smaller ones are copied


def share_weights(model: onnx.ModelProto, files: Iterable[Path]) -> onnx.ModelProto:
    """The same model, to be kept in the folder of `files`, whose larger tensors are read from within these.

    files: ONNX files with weights inside. ONNX lets a tensor's data lie anywhere in any file, so each that one of the
    files holds, byte for byte, is read from its place there.
    """
    shared = onnx.ModelProto()
    shared.CopyFrom(model)
    contents = {file.name: file.read_bytes() for file in files}
    for tensor in shared.graph.initializer:
        data = tensor.raw_data
        if len(data) < LEAST:
            continue
        for name, content in contents.items():
            if (place := content.find(data)) >= 0:
                set_external_data(tensor, name, place, len(data))
                tensor.ClearField("raw_data")
                break
    return shared
