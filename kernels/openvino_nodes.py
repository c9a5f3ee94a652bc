"""`Modulate` and `Select` for OpenVINO, whose ONNX reader (2026.4) knows no functions inside a model.

Free of torch and onnx: a runtime can add these to its `openvino.Core` and then reads the same file as every back end.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from openvino import Node, Output
from openvino import opset13 as ov
from openvino.frontend import NodeContext
from openvino.frontend.onnx import ConversionExtension

DOMAIN = "cstm"
Value: TypeAlias = "Node | Output"


def extensions() -> list[ConversionExtension]:
    """For `openvino.Core.add_extension`, before reading a model. FP32 inside, as the ONNX functions."""
    return [ConversionExtension("Modulate", DOMAIN, _modulate), ConversionExtension("Select", DOMAIN, _select)]


def _modulate(node: NodeContext) -> list[Output]:
    x, u, *language_plan = (node.get_input(index) for index in range(5))
    key, bias, gate = map(_wide, language_plan)
    u = _wide(u)
    mean = _means(u)
    product = ov.matmul(ov.reshape(mean, np.array([0, 1, -1]), True), key, False, False)
    attention = ov.add(product, ov.unsqueeze(bias, np.array([1])))
    norm = ov.reduce_l2(attention, np.array([-1]), True)
    weights = ov.softmax(ov.divide(attention, ov.maximum(norm, _scalar(1e-12))), -1)
    raised = ov.sigmoid(ov.matmul(gate, weights, False, True))
    scale = ov.reshape(ov.subtract(raised, _scalar(0.5)), _channels_of(u), True)  # maps of batch 1 take any batch's
    return _result(ov.add(_wide(x), ov.multiply(u, scale)), x)


def _select(node: NodeContext) -> list[Output]:
    spatial, temporal, sentence, *layers = (node.get_input(index) for index in range(7))
    squeeze_weight, squeeze_bias, select_weight, select_bias = layers
    streams = [_wide(spatial), _wide(temporal)]
    means = [_means(stream) for stream in streams]
    pooled = ov.convert_like(ov.reshape(ov.concat(means, 1), np.array([0, -1]), True), sentence)
    z = ov.relu(_linear(ov.concat([pooled, sentence], 1), squeeze_weight, squeeze_bias))
    scores = _wide(_linear(z, select_weight, select_bias))
    weights = ov.split(ov.softmax(ov.reshape(scores, np.array([0, 2, -1]), True), 1), np.int64(1), 2)
    shares = [ov.multiply(_like_means(weights.output(i), means[i]), streams[i]) for i in (0, 1)]
    return _result(ov.add(*shares), spatial)


def _means(maps: Value) -> Node:
    """[B,C,...] -> [B,C,1,...], over positions. The maps keep the layout in which convolutions leave them."""
    return ov.reduce_mean(maps, np.arange(2, _rank(maps)), True)


def _channels_of(maps: Value) -> np.ndarray:
    """The shape of a value a channel beside the maps; 0 keeps the batch and the channels of what is reshaped."""
    return np.array([0, 0] + [1] * (_rank(maps) - 2))


def _rank(maps: Value) -> int:
    return maps.get_output_partial_shape(0).rank.get_length()


def _like_means(values: Value, means: Value) -> Node:
    """A value a channel, in the shape of `means`."""
    return ov.reshape(values, ov.shape_of(means), False)


def _wide(value: Value) -> Node:
    return ov.convert(value, "f32")


def _result(maps: Value, like: Value) -> list[Output]:
    """`maps` in the dtype of `like`; a node's outputs."""
    return [ov.convert_like(maps, like).output(0)]


def _linear(value: Value, weight: Value, bias: Value) -> Node:
    return ov.add(ov.matmul(value, weight, False, True), bias)


def _scalar(value: float) -> Node:
    return ov.constant(np.float32(value))
