"""The nodes of domain `cstm` for OpenVINO, whose ONNX reader (2026.4) knows no functions inside a model.

Free of torch and onnx: a runtime can add these to its `openvino.Core` and then reads the same file as every back end.
"""

from __future__ import annotations

import numpy as np
from openvino import opset13 as ov
from openvino.frontend.onnx import ConversionExtension

DOMAIN = "cstm"
POSITIONS = np.array([2])


def extensions() -> list[ConversionExtension]:
    """For `openvino.Core.add_extension`, before reading a model. FP32 inside, as the ONNX functions."""
    return [ConversionExtension("Modulate", DOMAIN, _modulate), ConversionExtension("Select", DOMAIN, _select)]


def _modulate(node) -> list:
    x, u, *plan = (node.get_input(index) for index in range(5))
    key, bias, gate = map(_wide, plan)
    u_flat = _flat(u)
    product = ov.matmul(ov.reduce_mean(u_flat, POSITIONS, True), key, True, False)
    attention = ov.add(product, ov.unsqueeze(bias, np.array([1])))
    norm = ov.reduce_l2(attention, POSITIONS, True)
    weights = ov.softmax(ov.divide(attention, ov.maximum(norm, _scalar(1e-12))), -1)
    raised = ov.sigmoid(ov.matmul(gate, weights, False, True))
    return _shaped(ov.add(_flat(x), ov.multiply(u_flat, ov.subtract(raised, _scalar(0.5)))), x)


def _select(node) -> list:
    spatial, temporal, sentence, *layers = (node.get_input(index) for index in range(7))
    squeeze_weight, squeeze_bias, select_weight, select_bias = layers
    streams = [_flat(spatial), _flat(temporal)]
    means = [ov.convert_like(ov.reduce_mean(stream, POSITIONS), sentence) for stream in streams]
    z = ov.relu(_linear(ov.concat([*means, sentence], 1), squeeze_weight, squeeze_bias))
    scores = _wide(_linear(z, select_weight, select_bias))
    weights = ov.split(ov.softmax(ov.reshape(scores, np.array([0, 2, -1, 1]), True), 1), np.int64(1), 2)
    shares = [ov.multiply(ov.squeeze(weights.output(i), np.array([1])), streams[i]) for i in (0, 1)]
    return _shaped(ov.add(*shares), spatial)


def _flat(maps):
    """[B,C,...] -> [B,C,P] in FP32."""
    return _wide(ov.reshape(maps, np.array([0, 0, -1]), True))


def _wide(value):
    return ov.convert(value, "f32")


def _shaped(flat, like) -> list:
    """[B,C,P] in the shape and dtype of `like`; a node's outputs."""
    return [ov.reshape(ov.convert_like(flat, like), ov.shape_of(like), False).output(0)]


def _linear(value, weight, bias):
    return ov.add(ov.matmul(value, weight, False, True), bias)


def _scalar(value: float):
    return ov.constant(np.float32(value))
