"""Weights that a model takes from the files of others, so that they are on the disk once."""

from __future__ import annotations

import hashlib
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
    places = _places(files)
    for tensor in shared.graph.initializer:
        data = tensor.raw_data
        if place := places.get(_digest(data)):
            set_external_data(tensor, *place, len(data))
            tensor.ClearField("raw_data")
    return shared


def _places(files: Iterable[Path]) -> dict[bytes, tuple[str, int]]:
    """Where the larger tensors of the files lie, a file's name and the offset in it, by digest."""
    places: dict[bytes, tuple[str, int]] = {}
    for file in files:
        content, end = file.read_bytes(), 0
        for tensor in onnx.load_model_from_string(content).graph.initializer:
            data = tensor.raw_data
            if len(data) >= LEAST:
                start = content.index(data, end)  # they are written one after the other
                places.setdefault(_digest(data), (file.name, start))
                end = start + len(data)
    return places


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
