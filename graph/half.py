"""FP32 ONNX -> FP16 ONNX by ModelOpt AutoCast, on real inputs of the component; names and I/O types stay."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx

import cstm.kernels.functions  # noqa: F401 (ModelOpt asks TensorRT what operators are that onnx does not know)
from cstm.graph.slim import OPSET, quiet, slim

# Tiny tensors, or pixels scaled once. CMAM and LGFS normalise in FP32 inside their operators, see kernels/plain.py.
KEPT_IN_FP32 = ["Div", "Softmax"]


def convert_to_fp16(
    model: onnx.ModelProto, inputs: dict[str, np.ndarray], keep: Collection[str] = ()
) -> onnx.ModelProto:
    """The same network with FP16 inside.

    inputs: real inputs of the component, any batch; operators whose values on them exceed FP16's range with a margin
    stay in FP32. keep: names of nodes that stay in FP32 besides, see `calibration.audit.kept_nodes`.
    """
    from modelopt.onnx.autocast import convert_to_mixed_precision

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, samples = Path(folder) / "model.onnx", Path(folder) / "inputs.npz"  # AutoCast reads files
        onnx.save(model, source)
        np.savez(samples, allow_pickle=False, **inputs)
        halved = convert_to_mixed_precision(
            str(source),
            "fp16",
            nodes_to_exclude=[f"{re.escape(name)}$" for name in keep],  # matched from the start
            op_types_to_exclude=KEPT_IN_FP32,
            keep_io_types=True,
            calibration_data=str(samples),
            opset=OPSET,
        )
    halved = slim(halved)
    onnx.checker.check_model(halved)
    return halved
