"""Plugins on a real GPU: against TensorRT's own layers and PyTorch, in two contexts at once, and recorded."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch

from cstm.export.attention import BuildAttention
from cstm.export.choices import NATIVE, PLUGIN
from cstm.export.engines import EngineOptions, engine_backend
from cstm.export.open_engine import open_engine as open_built
from cstm.kernels import plain
from cstm.models.components import component_modules
from cstm.models.contract import contract
from cstm.runtime.backends.torch import TorchSession
from cstm.runtime.bundle import CHECKPOINT, Bundle, onnx_file
from cstm.runtime.device_array import open_device
from cstm.runtime.tolerance import Difference

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]

COMPONENTS = ("spatial_encoder", "temporal_encoder", "fusion")
RELATIVE = {"fp32": 2e-3, "fp16": 1e-2}  # TensorRT may take TF32 for FP32's convolutions
MAX_BATCH = 2


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle(bundle_path)


@pytest.fixture(scope="module")
def module():
    found = engine_backend("auto")
    if found is None:
        pytest.skip("no TensorRT here")
    return found


@pytest.fixture(scope="module")
def values(bundle):
    """Every tensor of the chain by PyTorch on the CPU, for a batch of 2."""
    from cstm.models.checkpoint import load_checkpoint

    golden, _ = bundle.golden()
    values = {name: np.concatenate([array, np.flip(array, -1)]) for name, array in golden.items()}
    modules = component_modules(load_checkpoint(bundle.file(CHECKPOINT)))
    for name, component in contract(bundle.config).items():
        values |= TorchSession(component, modules[name]).run(component.pick(values))
    return values


@pytest.fixture(scope="module")
def open_engine(bundle, module, tmp_path_factory):
    """open_engine(component, precision, form): a new session; engines are built once."""
    folder, sessions = tmp_path_factory.mktemp("engines"), []

    def open_engine(name, precision, form):
        component, path = contract(bundle.config)[name], folder / f"{name}_{precision}_{form}"
        if not path.exists():
            build = BuildAttention(component, EngineOptions(module, MAX_BATCH), form, folder / "cache", dict)
            assert build(bundle.file(onnx_file(name, precision)), path) == {"attention": form}
        options = EngineOptions(module, MAX_BATCH, plugins=form == PLUGIN)
        sessions.append(open_built(component, path, options))
        return sessions[-1]

    yield open_engine
    for session in sessions:
        session.close()


@pytest.mark.parametrize("precision", RELATIVE)
@pytest.mark.parametrize("name", COMPONENTS)
def test_plugin_and_native_agree_with_pytorch(open_engine, bundle, values, name, precision):
    component = contract(bundle.config)[name]
    for batch in (1, 2):
        inputs = {key: array[:batch] for key, array in component.pick(values).items()}
        answers = {form: open_engine(name, precision, form).run(inputs) for form in (NATIVE, PLUGIN)}
        for spec in component.outputs:
            for answer in answers.values():
                assert Difference.between(answer[spec.name], values[spec.name][:batch]).relative < RELATIVE[precision]


@pytest.mark.parametrize("name", COMPONENTS)
def test_two_contexts_do_not_disturb_each_other(open_engine, bundle, values, name):
    component = contract(bundle.config)[name]
    sessions = [open_engine(name, "fp16", PLUGIN) for _ in range(2)]
    inputs = [{key: array[i : i + 1] for key, array in component.pick(values).items()} for i in range(2)]
    alone = [session.run(given) for session, given in zip(sessions, inputs, strict=True)]
    for _ in range(5):
        queued = [session.enqueue(given) for session, given in zip(sessions, inputs, strict=True)]
        for outputs, expected in zip(queued, alone, strict=True):
            for key, array in outputs.items():
                np.testing.assert_array_equal(array.to_numpy(), expected[key])


def test_a_run_that_is_recorded_holds_the_plugins(open_engine, bundle, values):
    """The second run is recorded as a CUDA graph, the later ones replay it."""
    inputs = contract(bundle.config)["fusion"].pick(values)
    session = open_engine("fusion", "fp16", PLUGIN)
    plain, *later = (session.run(inputs) for _ in range(4))
    for answer in later:
        for name, array in plain.items():
            np.testing.assert_array_equal(answer[name], array)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_ptx_launched_by_the_driver_gives_the_definition(normal, assert_close, dtype):
    """The three calls of Modulate, as the plugin launches them, for a batch that they were not compiled for."""
    from cstm.kernels.aot import compile_call
    from cstm.kernels.modulation import modulation
    from cstm.kernels.plugin_v3 import _launch, _load

    batch, channels, sides, words = 3, 70, (5, 33, 47), 24
    maps, language_plan = (batch, channels, *sides), (batch, channels, words)
    x, u, key, bias, gate = normal(0, dtype, maps, maps, language_plan, (batch, words), language_plan)
    meta = [tensor[:1].to("meta") for tensor in (x, u, key, bias, gate)]
    score, weigh, apply = (compile_call(launch) for launch in modulation(*meta)[1])
    open_device()
    torch.cuda.synchronize()

    def call(made, *read):
        written = torch.empty(batch, *made.shape, dtype=getattr(torch, made.dtype), device="cuda")
        values = [*(t.data_ptr() for t in read), *made.scalars, written.data_ptr()]
        kinds = [ctypes.c_void_p] * len(read) + [ctypes.c_int32] * len(made.scalars) + [ctypes.c_void_p]
        grid = (made.blocks * batch, made.columns)
        _launch(_load(made), grid, made, (tuple(values), tuple(kinds)), torch.cuda.current_stream().cuda_stream)
        return written

    weights = call(weigh, call(score, u, key), bias)
    got = call(apply, x, u, gate, weights)
    torch.cuda.synchronize()
    assert_close(got, plain.modulate(*(a.double() for a in (x, u, key, bias, gate))), 5)
