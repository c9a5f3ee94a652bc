"""One component -> one ONNX file: dynamic batch, the contract's names, checked and slimmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from cstm.export.batch_norms import fold_batch_norms
from cstm.files import atomic_path
from cstm.graph.coordinates import fold_constant_channels
from cstm.graph.padding import fold_padding
from cstm.graph.slim import OPSET, quiet, slim
from cstm.kernels.functions import add_functions, translations
from cstm.models.contract import BATCH, TEXT_ENCODER, TOKEN_IDS, TOKEN_MASK, Component, TensorSpec


def random_tensor(spec: TensorSpec, batch: int, rng: np.random.Generator, vocabulary: int = 2) -> np.ndarray:
    """A random array for an input: pixels 0..255, ids below `vocabulary`, a mask of at least one word, else normal."""
    shape = spec.with_batch(batch)
    if spec.dtype == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if spec.name == TOKEN_MASK:
        return (np.arange(shape[1]) < rng.integers(1, shape[1] + 1, (batch, 1))).astype(np.int64)
    if spec.name == TOKEN_IDS:
        return rng.integers(0, vocabulary, shape)
    return rng.standard_normal(shape).astype(spec.dtype)


def export_component(module: nn.Module, component: Component, path: str | Path) -> None:
    """Write `module`, in evaluation mode, to `path` as ONNX, atomically. Every input and output has a dynamic batch."""
    if component.name != TEXT_ENCODER:  # which reads its batch norms and runs none
        module = fold_batch_norms(module)
    rng = np.random.default_rng(0)
    example = tuple(torch.from_numpy(random_tensor(spec, 2, rng)) for spec in component.inputs)
    batch = torch.export.Dim(BATCH, min=1, max=1 << 16)
    with quiet(), torch.inference_mode():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in component.inputs],
            output_names=[spec.name for spec in component.outputs],
            dynamic_shapes=(tuple({0: batch} for _ in example),),
            custom_translation_table=translations(),
            verbose=False,
        )
    assert program is not None, "torch.onnx.export gives a program where it is given no file"
    model = slim(name_batch(add_functions(program.model_proto)))
    for rewrite in (fold_padding, fold_constant_channels):
        model = slim(rewrite(model))
    onnx.checker.check_model(model, full_check=True)
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)


def name_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model whose inputs' and outputs' first axis is called "batch"."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    return model
