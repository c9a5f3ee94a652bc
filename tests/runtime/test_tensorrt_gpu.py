"""TensorRTSession on a real GPU, with an engine that TensorRT-RTX builds here, against numpy."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cstm.errors import ContractError
from cstm.models.contract import Component, TensorSpec
from cstm.runtime.device_array import DeviceArray, cuda_device, open_device
from cstm.runtime.manifest import BuiltWith
from cstm.runtime.tensorrt_session import TensorRTSession

pytestmark = pytest.mark.gpu

X, FRAME, Y = TensorSpec("x", (3, 64)), TensorSpec("frame", (3, 64), "uint8"), TensorSpec("y", (3, 64))
TOY = Component("toy", (X, FRAME), (Y,))  # y = relu(x + frame)
MAX_BATCH = 4


def toy_inputs(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 99, X.with_batch(batch)).astype(np.float32)
    return {"x": x, "frame": rng.integers(0, 255, FRAME.with_batch(batch), dtype=np.uint8)}


def toy_output(inputs: dict) -> np.ndarray:
    return np.maximum(inputs["x"] + inputs["frame"].astype(np.float32), 0)


def toy_onnx() -> bytes:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["frame"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "pixels"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y"]),
    ]
    types = {"x": TensorProto.FLOAT, "frame": TensorProto.UINT8, "y": TensorProto.FLOAT}
    values = {name: helper.make_tensor_value_info(name, type_, ["batch", 3, 64]) for name, type_ in types.items()}
    graph = helper.make_graph(nodes, "toy", [values["x"], values["frame"]], [values["y"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def build(trt) -> bytes:
    """The toy's engine, for batches of 1 to MAX_BATCH. Needs no GPU."""
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(toy_onnx()), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for spec in TOY.inputs:
        profile.set_shape(spec.name, *(spec.with_batch(batch) for batch in (1, 1, MAX_BATCH)))
    config.add_optimization_profile(profile)
    return bytes(builder.build_serialized_network(network, config))


@pytest.fixture(scope="module")
def engine():
    if cuda_device() is None:
        pytest.skip("no NVIDIA GPU with a driver and cuda-core here")
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    return build(trt), BuiltWith(trt.__version__, None)


@pytest.fixture
def open_session(engine):
    data, built_with = engine
    sessions = []

    def open_session(**options):
        session = TensorRTSession(
            TOY, data, backend="tensorrt_rtx", built_with=built_with, max_batch=MAX_BATCH, **options
        )
        sessions.append(session)
        return session

    yield open_session
    for session in sessions:
        session.close()


@pytest.fixture
def torch(engine):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch is installed without CUDA")
    return torch


class Interface:
    """A torch tensor that shows nothing but its `__cuda_array_interface__`."""

    def __init__(self, tensor):
        self.tensor = tensor
        self.__cuda_array_interface__ = tensor.__cuda_array_interface__


def test_numpy(open_session):
    session = open_session()
    for batch in (1, 4, 4, 2):
        inputs = toy_inputs(batch, seed=batch)
        np.testing.assert_allclose(session.run(inputs)["y"], toy_output(inputs), rtol=1e-6)
    with pytest.raises(ContractError, match="--max-batch"):
        session.run(toy_inputs(MAX_BATCH + 1))


def test_two_sessions_on_two_streams(open_session):
    first, second, inputs = open_session(), open_session(), toy_inputs(3)
    for _ in range(50):
        y = first.enqueue(inputs)["y"]
        z = second.enqueue({"x": y, "frame": inputs["frame"]})["y"]
    expected = toy_output({"x": toy_output(inputs), "frame": inputs["frame"]})
    np.testing.assert_allclose(z.to_numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(z.copy().to_numpy(first.stream), expected, rtol=1e-6)


def test_device_arrays_of_another_stream(open_session):
    session, inputs, stream = open_session(), toy_inputs(2), open_device().create_stream()
    on_gpu = {}
    for spec in TOY.inputs:
        on_gpu[spec.name] = DeviceArray.empty(spec.with_batch(2), spec.dtype, stream)
        on_gpu[spec.name].assign(inputs[spec.name])
    outputs = session.run(on_gpu)
    assert isinstance(outputs["y"], DeviceArray)
    np.testing.assert_allclose(outputs["y"].to_numpy(), toy_output(inputs), rtol=1e-6)


def test_another_thread(open_session):
    session, inputs, found = open_session(), toy_inputs(2), []
    thread = threading.Thread(target=lambda: found.append(session.run(inputs)["y"]))
    thread.start()
    thread.join()
    np.testing.assert_allclose(found[0], toy_output(inputs), rtol=1e-6)


@pytest.mark.parametrize("protocol", ["dlpack", "cuda_array_interface"])
def test_torch_in_and_out(open_session, torch, protocol):
    session, inputs = open_session(), toy_inputs(2)
    tensors = {name: torch.from_numpy(array).cuda() for name, array in inputs.items()}
    given = tensors if protocol == "dlpack" else {name: Interface(tensor) for name, tensor in tensors.items()}
    y = torch.from_dlpack(session.run(given)["y"])
    assert y.is_cuda and y.shape == (2, *Y.shape)
    np.testing.assert_allclose(y.cpu().numpy(), toy_output(inputs), rtol=1e-6)


def test_torch_slice_whose_address_is_not_aligned(open_session, torch):
    session, inputs = open_session(), toy_inputs(3)
    tensors = {name: torch.from_numpy(array).cuda()[1:] for name, array in inputs.items()}
    assert tensors["frame"].data_ptr() % 256
    y = session.run(tensors)["y"].to_numpy()
    np.testing.assert_allclose(y, toy_output(inputs)[1:], rtol=1e-6)


def test_torch_work_under_way_is_waited_for(open_session, torch):
    session, inputs = open_session(), toy_inputs(2)
    frame = torch.from_numpy(inputs["frame"]).cuda()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        x = torch.zeros(X.with_batch(2), device="cuda")
        torch.cuda._sleep(100_000_000)
        x += torch.from_numpy(inputs["x"]).cuda()
        y = session.enqueue({"x": x, "frame": frame})["y"]
    np.testing.assert_allclose(y.to_numpy(), toy_output(inputs), rtol=1e-6)


def test_stream_of_torch(open_session, torch):
    stream, inputs = torch.cuda.Stream(), toy_inputs(2)
    session = open_session(stream=stream)
    assert int(session.stream.handle) == stream.cuda_stream
    np.testing.assert_allclose(session.run(inputs)["y"], toy_output(inputs), rtol=1e-6)


def test_torch_tensor_that_is_not_contiguous_is_refused(open_session, torch):
    x = torch.zeros(2, 64, 3, device="cuda").transpose(1, 2)
    with pytest.raises(ContractError, match="contiguous"):
        open_session().run(toy_inputs(2) | {"x": x})
