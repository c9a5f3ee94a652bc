"""Is a file the component that the contract declares? Names, axes, shapes, then values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cstm.errors import ContractError, CSTMError, ParityError
from cstm.export.to_onnx import random_tensor
from cstm.graph.link import ELEMENT_TYPES
from cstm.models.config import CSTMConfig
from cstm.models.contract import BATCH, MASK_LOGITS, Component, TensorSpec, parts
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.chain import Chain
from cstm.runtime.session import Session
from cstm.runtime.tolerance import Difference


def verify_declaration(path: str | Path, component: Component) -> None:
    """ContractError unless the file's inputs and outputs have the declared names, axes, shapes and types."""
    graph = onnx.load(path, load_external_data=False).graph
    for kind, specs, values in (
        ("inputs", component.inputs, graph.input),
        ("outputs", component.outputs, graph.output),
    ):
        names = [value.name for value in values]
        if names != [spec.name for spec in specs]:
            raise ContractError(f"{path}: {kind} are {names}, expected {[spec.name for spec in specs]}")
        for spec, value in zip(specs, values, strict=True):
            _verify_tensor(path, spec, value.type.tensor_type)


def verify_values(
    path: str | Path,
    component: Component,
    reference: Session,
    precision: str,
    cases: Sequence[dict[str, np.ndarray]] = (),
    vocabulary: int = 2,
    without: tuple[str, ...] = (),
) -> Difference:
    """The file's outputs on ONNX Runtime against `reference`; ParityError where they are not within tolerance.

    cases: real inputs; without any, fresh random ones are drawn, of batch 1 and of batch 3. without: as for
    OnnxRuntimeSession.
    """
    rng = np.random.default_rng()
    cases = cases or [_random_inputs(component, batch, rng, vocabulary) for batch in (1, 3)]
    found: dict[str, list[Difference]] = {spec.name: [] for spec in component.outputs}
    with OnnxRuntimeSession(component, path, without=without) as session:
        for case in cases:
            actual, expected = session.run(case), reference.run(case)
            for name, differences in found.items():
                differences.append(Difference.between(actual[name], expected[name]))
    for name, differences in found.items():
        for difference in differences:
            if not difference.within(precision):
                raise ParityError(
                    f"{path}: {name} differs from PyTorch by {difference.shown(precision)} in {precision};"
                    " the export is not faithful and was not kept"
                )
    return Difference.worst([d for differences in found.values() for d in differences])


def keep_if_right(path: Path, component: Component, compare: Callable[[], Difference]) -> dict[str, Any]:
    """{nodes, error} of a model that is what `component` declares and passes `compare`; one that is not is removed."""
    try:
        verify_declaration(path, component)
        difference = compare()
    except CSTMError:
        path.unlink()
        raise
    nodes = len(onnx.load(path, load_external_data=False).graph.node)
    return {"nodes": nodes, "error": {"absolute": difference.absolute, "relative": difference.relative}}


def verify_chain(config: CSTMConfig, models: dict[str, Path], golden: Path, precision: str) -> dict[str, float]:
    """{absolute, relative}: the models' mask logits, in a row, on the recorded input against the recorded ones.

    models: ONNX by name, as for `Chain`. ParityError where the difference is not within tolerance.
    """
    with np.load(golden) as arrays:
        inputs = dict(arrays)
    expected = inputs.pop(MASK_LOGITS)
    known = parts(config)
    with Chain(config, {name: OnnxRuntimeSession(known[name], path) for name, path in models.items()}) as chain:
        difference = Difference.between(chain(inputs), expected)
    if not difference.within(precision, strict=True):
        raise ParityError(f"the whole chain in {precision} differs from PyTorch: {difference.shown(precision)}")
    return {"absolute": difference.absolute, "relative": difference.relative}


def _random_inputs(component: Component, batch: int, rng: np.random.Generator, vocabulary: int) -> dict:
    return {spec.name: random_tensor(spec, batch, rng, vocabulary) for spec in component.inputs}


def _verify_tensor(path: str | Path, spec: TensorSpec, tensor: onnx.TypeProto.Tensor) -> None:
    axes = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    if axes[:1] != [1 if spec.once else BATCH]:
        expected = "1, whatever the batch" if spec.once else "a dynamic batch"
        raise ContractError(f"{path}: the first axis of {spec.name} is {axes[:1]}, expected {expected}")
    if tuple(axes[1:]) != spec.shape:
        raise ContractError(f"{path}: {spec.name} has axes {axes[1:]}, expected {list(spec.shape)}")
    if tensor.elem_type != ELEMENT_TYPES[spec.dtype]:
        raise ContractError(f"{path}: {spec.name} is of type {tensor.elem_type}, expected {spec.dtype}")
