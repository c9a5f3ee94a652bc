"""Modulate and Select taken apart into plugins: the kernels, wired up in a graph, give the operators' answers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from cstm.errors import RequestError
from cstm.graph import plugins
from cstm.graph.plugins import use_plugins
from cstm.kernels.call import STEPS, KernelCall
from cstm.kernels.functions import add_functions
from cstm.kernels.launch import Launch
from cstm.models.contract import chain_inputs, contract
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.bundle import Bundle, onnx_file
from cstm.runtime.chain import Chain

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),  # NumPy's, in the interpreter
    pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter is for machines without a GPU"),
]


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle(bundle_path)


@pytest.fixture(scope="module")
def values(bundle):
    """Every tensor of the chain, for a batch of 2."""
    golden, _ = bundle.golden()
    values = {spec.name: np.concatenate([golden[spec.name]] * 2) for spec in chain_inputs(bundle.config)}
    for name in (n for n in values if values[n].dtype == np.uint8):
        values[name][1] = values[name][1, ..., ::-1]
    components = contract(bundle.config)
    sessions = {n: OnnxRuntimeSession(c, bundle.file(onnx_file(n, "fp32"))) for n, c in components.items()}
    with Chain(bundle.config, sessions):
        for name, component in components.items():
            values |= sessions[name].run(component.pick(values))
    return values


def interpreted(monkeypatch):
    """Plugins of ONNX's reference evaluator, which run our kernels in Triton's interpreter."""
    launches: list[Launch] = []

    def remember(launch, capability):
        launches.append(launch)
        written = launch.arguments[-1]
        dtype = str(written.dtype).removeprefix("torch.")
        return KernelCall(str(len(launches) - 1), "", launch.grid[0], 1, 1, 0, (), tuple(written.shape[1:]), dtype)

    monkeypatch.setattr(plugins, "compile_call", remember)

    def run(self, *inputs, ptx, call, **_):
        launch, told = launches[int(ptx)], KernelCall.from_fields(ptx, call)
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in inputs]
        written = torch.empty(len(inputs[0]), *told.shape, dtype=getattr(torch, told.dtype))
        scalars = [argument for argument in launch.arguments if isinstance(argument, int)]
        grid = (told.blocks * len(inputs[0]), *launch.grid[1:])
        Launch(launch.kernel, grid, (*tensors, *scalars, written), launch.constants).run()
        return (written.numpy(),)

    return [type(name, (OpRun,), {"op_domain": "cstm", "_run": run}) for name in STEPS]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_plugins_wired_into_fusion_give_the_same_answers(bundle, values, precision, monkeypatch):
    component, path = contract(bundle.config)["fusion"], bundle.file(onnx_file("fusion", precision))
    evaluator_ops = interpreted(monkeypatch)
    model = use_plugins(onnx.load(path))
    assert not model.functions
    got = ReferenceEvaluator(model, new_ops=evaluator_ops).run(None, component.pick(values))
    for spec, array in zip(component.outputs, got, strict=True):
        tolerance = 1e-5 if precision == "fp32" else 4e-3
        np.testing.assert_allclose(array, values[spec.name], rtol=0, atol=tolerance * np.abs(values[spec.name]).max())


def test_three_plugins_are_one_modulate(monkeypatch):
    rng = np.random.default_rng(0)
    shapes = {"x": (2, 6, 3, 5), "u": (2, 6, 3, 5), "key": (2, 6, 7), "bias": (2, 7), "gate": (2, 6, 7)}
    inputs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    described = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *shape[1:]])
        for name, shape in shapes.items()
    ]
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 6, 3, 5])
    node = onnx.helper.make_node("Modulate", list(shapes), ["y"], name="m", domain="cstm")
    graph = onnx.helper.make_graph([node], "g", described, [y])
    imports = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("cstm", 1)]
    model = add_functions(onnx.helper.make_model(graph, opset_imports=imports, ir_version=10))
    (want,) = ReferenceEvaluator(model).run(None, inputs)
    evaluator_ops = interpreted(monkeypatch)
    (got,) = ReferenceEvaluator(use_plugins(model), new_ops=evaluator_ops).run(None, inputs)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def test_a_map_of_unknown_size_is_refused(bundle):
    model = onnx.load(bundle.file(onnx_file("fusion", "fp32")))
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[-1].dim_param = "width"
    with pytest.raises(RequestError, match="known sizes"):
        use_plugins(model)


FRAME = """
<ir_version: 10, opset_import: ["": 20, "cstm": 1]>
g (float[1,8,6,5] x, float[batch,8,7] key, float[batch,7] bias, float[batch,8,7] gate) => (float[batch,8,6,5] y)
{
    u = Relu(x)
    once = cstm.Modulate(x, u, key, bias, gate)
    v = Relu(once)
    y = cstm.Modulate(once, v, key, bias, gate)
}
"""


def test_plugins_repeat_one_frame_for_every_sentence_where_words_first_touch_it(monkeypatch):
    evaluator_ops = interpreted(monkeypatch)
    plain = add_functions(onnx.parser.parse_model(FRAME))
    for node in plain.graph.node:
        node.name = f"making {node.output[0]}"
    model = use_plugins(plain)
    assert [node.op_type for node in model.graph.node].count("Expand") == 2
    rng = np.random.default_rng(0)
    shapes = {"x": (1, 8, 6, 5), "key": (3, 8, 7), "bias": (3, 7), "gate": (3, 8, 7)}
    inputs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    (got,), (want,) = (
        ReferenceEvaluator(given, new_ops=ops).run(None, inputs)
        for given, ops in ((model, evaluator_ops), (plain, None))
    )
    np.testing.assert_allclose(got, want, atol=1e-5)
