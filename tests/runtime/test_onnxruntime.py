"""ONNX Runtime as a GPU's provider is asked for it: outputs stay where they are made. Here that is the processor."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cstm.errors import ContractError, EngineError
from cstm.models.contract import Component, TensorSpec
from cstm.runtime.backends import onnxruntime
from cstm.runtime.backends.onnxruntime import Bound, OnnxRuntimeSession

X, Y = TensorSpec("x", (3,)), TensorSpec("y", (3,))
TWICE, AGAIN = Component("twice", (X,), (Y,)), Component("again", (Y,), (X,))
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def open_session(tmp_path):
    """A session that doubles what it is given, and keeps its output bound."""

    def open_session(component):
        given, made = component.inputs[0].name, component.outputs[0].name
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in (given, made)]
        graph = helper.make_graph([helper.make_node("Add", [given, given], [made])], "g", values[:1], values[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.save(model, tmp_path / f"{component.name}.onnx")
        session = OnnxRuntimeSession(component, tmp_path / f"{component.name}.onnx")
        assert session.device is None
        session.device = "cpu"
        return session

    return open_session


def test_outputs_go_from_session_to_session_as_they_are(open_session):
    first, second = open_session(TWICE), open_session(AGAIN)
    y = first.enqueue({"x": VALUES})["y"]
    assert isinstance(y, Bound) and (y.shape, y.dtype) == ((2, 3), np.float32)
    x = second.enqueue({"y": y})["x"]
    np.testing.assert_array_equal(x.to_numpy(), 4 * VALUES)
    np.testing.assert_array_equal(y[1:], 2 * VALUES[1:])
    np.testing.assert_array_equal(second.run({"y": y})["x"], 4 * VALUES)


def test_what_was_given_stays_as_it_was_in_the_next_run(open_session):
    session = open_session(TWICE)
    y = session.enqueue({"x": VALUES})["y"].copy()
    session.enqueue({"x": VALUES + 1})
    np.testing.assert_array_equal(y.to_numpy(), 2 * VALUES)


def test_strided_arrays_are_read_right_and_wrong_ones_refused(open_session):
    session = open_session(TWICE)
    np.testing.assert_array_equal(session.run({"x": VALUES[::-1]})["y"], 2 * VALUES[::-1])
    with pytest.raises(ContractError):
        session.run({"x": VALUES.astype(np.float64)})
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run({"x": VALUES})


def test_what_each_provider_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(onnxruntime, "import_onnxruntime", lambda: SimpleNamespace(preload_dlls=lambda: None))
    assert onnxruntime.providers("CPUExecutionProvider") == ["CPUExecutionProvider"]
    cuda = ("CUDAExecutionProvider", {"use_tf32": 0})
    assert onnxruntime.providers("CUDAExecutionProvider") == [cuda]
    (name, options), behind = onnxruntime.providers("TensorrtExecutionProvider")
    assert (name, behind) == ("TensorrtExecutionProvider", cuda)
    assert options["trt_fp16_enable"] and options["trt_engine_cache_enable"] and options["trt_timing_cache_enable"]
    assert options["trt_engine_cache_path"].startswith(str(tmp_path))
