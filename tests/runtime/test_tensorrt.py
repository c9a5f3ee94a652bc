"""TensorRTSession against a TensorRT and a cuda-core that work on host memory. `test_tensorrt_gpu.py` has real ones."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cstm.errors import ContractError, EngineError, MissingDependencyError
from cstm.export import engines
from cstm.runtime import device_array, tensorrt_library
from cstm.runtime.backends import tensorrt
from cstm.runtime.device_array import DeviceArray, cuda_device
from cstm.runtime.tensorrt_session import TensorRTSession

from .fake_gpu import FAKE_CUDA, FakeDevice, FakeStream, OnGPU
from .fake_tensorrt import (
    BUILT_WITH,
    MAX_BATCH,
    TOY,
    FakeEngine,
    Y,
    array_at,
    fake_module,
    toy_inputs,
    toy_output,
)


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def open_session(request, monkeypatch, engine):
    monkeypatch.setitem(sys.modules, request.param, fake_module(request.param, engine))
    monkeypatch.setattr(device_array, "cuda_core", lambda: FAKE_CUDA)
    monkeypatch.setattr(FakeDevice, "allocated", 0)

    def open_session(data=b"toy", built_with=BUILT_WITH, **options):
        return TensorRTSession(TOY, data, backend=request.param, built_with=built_with, max_batch=MAX_BATCH, **options)

    open_session.backend = request.param
    return open_session


def array_of(context) -> np.ndarray:
    """What a context's output holds."""
    return array_at(context.addresses["y"], Y, context.shapes[-1][1])


def test_numpy_in_numpy_out_with_buffers_allocated_once(open_session, engine):
    with open_session() as session:
        for batch in (2, 2, 3, 1):
            inputs = toy_inputs(batch, seed=batch)
            y = session.run(inputs)["y"]
            assert isinstance(y, np.ndarray) and y.dtype == np.float32
            np.testing.assert_array_equal(y, toy_output(inputs))
    assert FakeDevice.allocated == 4  # two inputs, the output, scratch memory
    assert [shape[0] for name, shape in engine.context.shapes if name == "x"] == [2, 3]
    assert [shape[0] for name, shape in engine.one.shapes if name == "x"] == [1]
    assert [context.profile for context in engine.contexts] == [0, 1]


def test_engine_may_be_a_file_and_numpy_may_be_strided(open_session, tmp_path):
    path = tmp_path / "toy.engine"
    path.write_bytes(b"toy")
    inputs = toy_inputs(4)
    inputs["x"] = inputs["x"][::2].transpose(0, 2, 1).copy().transpose(0, 2, 1)
    inputs["frame"] = inputs["frame"][::2]
    np.testing.assert_array_equal(open_session(path).run(inputs)["y"], toy_output(inputs))


@pytest.mark.parametrize("protocol", ["dlpack", "cai"])
def test_inputs_on_the_gpu_are_bound_where_they_lie(open_session, engine, protocol):
    session, inputs = open_session(), toy_inputs(2)
    session.run(inputs)
    own = dict(engine.context.addresses)
    on_gpu = OnGPU(inputs["x"], protocol)
    outputs = session.run({"x": on_gpu, "frame": inputs["frame"]})
    assert isinstance(outputs["y"], DeviceArray)
    assert engine.context.addresses == own | {"x": on_gpu.ptr}
    np.testing.assert_array_equal(outputs["y"].to_numpy(), toy_output(inputs))
    session.run(inputs)
    assert engine.context.addresses == own


def test_misaligned_input_is_copied_on_the_gpu(open_session, engine):
    session, inputs = open_session(), toy_inputs(2)
    session.run(inputs)
    own = dict(engine.context.addresses)
    outputs = session.enqueue({"x": OnGPU(inputs["x"], "cai", offset=16), "frame": inputs["frame"]})
    assert engine.context.addresses == own
    np.testing.assert_array_equal(outputs["y"].to_numpy(), toy_output(inputs))


def test_sessions_on_two_streams_wait_for_each_other(open_session, engine):
    first, second = open_session(), open_session()
    y = first.enqueue(toy_inputs(2))["y"]
    second.enqueue({"x": y, "frame": toy_inputs(2)["frame"]})
    assert second.stream.waited == [y.ready] and y.ready.stream == first.stream
    assert [event.stream for event in first.stream.waited] == [second.stream]


def test_outputs_are_overwritten_unless_copied(open_session):
    session, inputs = open_session(), toy_inputs(2)
    y = session.enqueue(inputs)["y"]
    kept = y.copy()
    session.enqueue(toy_inputs(2, seed=1))
    np.testing.assert_array_equal(kept.to_numpy(), toy_output(inputs))
    assert not np.array_equal(y.to_numpy(), toy_output(inputs))


def test_output_announces_its_memory_and_stream(open_session):
    session = open_session()
    y = session.enqueue(toy_inputs(2))["y"]
    interface = y.__cuda_array_interface__
    assert interface["data"] == (y.ptr, False) and interface["shape"] == (2, 3, 4) and interface["typestr"] == "<f4"
    assert interface["stream"] == session.stream.handle


def test_a_given_stream_is_used(open_session):
    stream = FakeStream(7)
    assert open_session(stream=stream).stream is stream


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda inputs: inputs | {"z": inputs["x"]}, "not expected"),
        (lambda inputs: inputs | {"x": inputs["x"][:1]}, "frame has shape"),
        (lambda inputs: inputs | {"x": inputs["x"].astype(np.float64)}, "float64"),
        (lambda inputs: inputs | {"x": OnGPU(inputs["x"].astype(np.float16), "cai")}, "float16"),
        (lambda inputs: inputs | {"x": OnGPU(inputs["x"], "dlpack", strides=(1, 2, 6))}, "contiguous"),
        (lambda inputs: inputs | {"x": OnGPU(inputs["x"], "cai", strides=(1, 2, 6))}, "contiguous"),
        (lambda inputs: inputs | {"x": inputs["x"].tolist()}, "toy: x is a list"),
        (lambda inputs: toy_inputs(MAX_BATCH + 1), "--max-batch 5"),
    ],
)
def test_inputs_that_are_not_those_declared_are_refused(open_session, change, message):
    with pytest.raises(ContractError, match=message):
        open_session().run(change(toy_inputs(2)))


@pytest.mark.parametrize(("place", "message"), [((1, 0), "host memory"), ((2, 1), "GPU 1")])
def test_foreign_arrays_elsewhere_are_refused(open_session, place, message):
    x = OnGPU(toy_inputs(2)["x"], "dlpack")
    x.__dlpack_device__ = lambda: place
    with pytest.raises(ContractError, match=message):
        open_session().run(toy_inputs(2) | {"x": x})


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"x": None, "z": ((-1, 3, 4), "FLOAT")}, "inputs: missing"),
        ({"y": None, "yy": ((-1, 3, 4), "FLOAT")}, "outputs: missing"),
        ({"x": ((-1, 3), "FLOAT")}, "axes"),
        ({"x": ((-1, 3, 5), "FLOAT")}, "shape"),
        ({"x": ((-1, -1, 4), "FLOAT")}, "shape"),
        ({"y": ((-1, 3, 4), "HALF")}, "float16"),
        ({"frame": ((-1, 3, 4), "BF16")}, "bf16"),
    ],
)
def test_engines_of_another_component_are_refused(open_session, engine, tensors, message):
    engine.tensors = {name: tensor for name, tensor in (engine.tensors | tensors).items() if tensor}
    with pytest.raises(ContractError, match=message):
        open_session()


def test_engines_of_another_origin_are_refused(open_session):
    with pytest.raises(EngineError, match=r"built with \w+ 10\.13\.0, but 11\.4\.0 is installed: .*cstm build"):
        open_session(built_with=replace(BUILT_WITH, tensorrt="10.13.0"))
    if open_session.backend == "tensorrt":
        with pytest.raises(EngineError, match="built on Other GPU, but this GPU is Fake GPU"):
            open_session(built_with=replace(BUILT_WITH, gpu="Other GPU"))
    else:
        open_session(built_with=replace(BUILT_WITH, gpu=None))


def test_engines_that_do_not_load_are_refused(open_session, engine):
    with pytest.raises(EngineError, match=r"cannot load the engine \(IRuntime.*: magic tag does not match\)"):
        open_session(b"broken")
    engine.profile = 2
    with pytest.raises(EngineError, match="up to 2, not 4"):
        open_session()
    engine.profile, engine.given, engine.contexts[1] = MAX_BATCH, 0, None
    with pytest.raises(EngineError, match="cannot prepare"):
        open_session()


def test_cudas_own_exceptions_never_leave(open_session, monkeypatch):
    session = open_session()

    def fail(*_):
        raise RuntimeError("CUDA_ERROR_LAUNCH_FAILED")

    monkeypatch.setattr(type(session.stream), "record", fail)
    with pytest.raises(EngineError, match="CUDA_ERROR_LAUNCH_FAILED"):
        session.run(toy_inputs(1))
    monkeypatch.setattr(FakeDevice, "create_stream", fail)
    with pytest.raises(EngineError, match="CUDA_ERROR_LAUNCH_FAILED"):
        open_session()


def test_every_refusal_by_tensorrt_is_an_error(open_session, engine):
    session, inputs, context = open_session(), toy_inputs(2), engine.context
    context.execute_async_v3 = lambda *_: False
    with pytest.raises(EngineError, match="did not run"):
        session.run(inputs)
    context.set_input_shape = lambda *_: False
    with pytest.raises(EngineError, match=r"refuses \(3, 3, 4\) for x"):
        session.run(toy_inputs(3))
    context.set_tensor_address = lambda *_: False
    with pytest.raises(EngineError, match="refuses the address of x"):
        session.run(inputs | {"x": OnGPU(inputs["x"], "cai")})


def test_after_a_refused_shape_all_shapes_are_set_again(open_session, engine):
    session, inputs = open_session(), toy_inputs(2)
    session.run(inputs)
    engine.context.set_input_shape = lambda *_: False
    with pytest.raises(EngineError):
        session.run(toy_inputs(3))
    del engine.context.set_input_shape
    np.testing.assert_array_equal(session.run(inputs)["y"], toy_output(inputs))
    assert [shape[0] for _, shape in engine.context.shapes] == [2, 2, 2]  # of x, which was refused, alone


def test_close_may_be_called_twice_and_ends_the_session(open_session):
    session = open_session()
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(toy_inputs(1))


def test_what_is_missing_is_named(open_session, monkeypatch):
    def no_driver(index=None):
        raise RuntimeError("no driver")

    monkeypatch.setattr(device_array, "cuda_core", lambda: SimpleNamespace(Device=no_driver))
    assert cuda_device() is None
    with pytest.raises(MissingDependencyError, match="onnxruntime or openvino"):
        open_session()
    monkeypatch.setitem(sys.modules, open_session.backend, None)
    extra = {"tensorrt": "gpu", "tensorrt_rtx": "rtx"}[open_session.backend]
    with pytest.raises(MissingDependencyError, match=rf"cstm\[{extra}\]"):
        open_session()


@pytest.mark.parametrize(
    ("architecture", "runs"), [("75", False), ("80", True), ("89", True), ("90", False), ("100", False), ("120", True)]
)
def test_rtx_is_refused_on_gpus_that_it_does_not_run_on(monkeypatch, architecture, runs):
    """Turing and Hopper, before anything is built or opened; TensorRT itself is asked nothing."""
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(device_array, "cuda_core", lambda: SimpleNamespace(Device=lambda: gpu))
    gpu = SimpleNamespace(name="A GPU", arch=architecture)
    found, capability = tensorrt.make("tensorrt_rtx"), f"{architecture[:-1]}.{architecture[-1]}"
    assert tensorrt_library.unsupported_gpu("tensorrt") is None
    if runs:
        found.require()
        assert engines.engine_backend("tensorrt_rtx") == "tensorrt_rtx"
        return
    said = rf"A GPU has compute capability {capability}, and TensorRT-RTX runs on 8\.0, 8\.6, .*; use tensorrt, or onnx"
    for asking in (found.require, lambda: engines.engine_backend("tensorrt_rtx")):
        with pytest.raises(MissingDependencyError, match=said):
            asking()


def test_missing_cuda_core_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    assert cuda_device() is None
    with pytest.raises(MissingDependencyError, match=r"cstm\[gpu\]"):
        device_array.open_device()


def test_the_real_tensorrt_says_why_to_our_logger():
    trt = pytest.importorskip("tensorrt_rtx")
    assert trt.Runtime(tensorrt_library.logger(trt)).deserialize_cuda_engine(b"no engine") is None
    assert tensorrt_library.said(trt) != "it gave no reason"
    assert tensorrt_library.said(trt) == "it gave no reason", "what was said is said once"
