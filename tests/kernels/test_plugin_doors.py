"""Both doors to TensorRT, against a TensorRT and a CUDA driver that only write down what they are asked."""

from __future__ import annotations

import ctypes
import enum
import inspect
import sys
from types import ModuleType, SimpleNamespace

import pytest

from cstm.errors import EngineError
from cstm.kernels import plugin_aot, plugin_v3
from cstm.kernels.call import STEPS, KernelCall

CALL = KernelCall("ptx", "score_words", 480, 2, 128, 256, (480, 6400), (64, 24), "float32")


class Base:
    """What every TensorRT interface does here."""


class Symbol:
    """A batch that is not known yet, and what it is multiplied with."""

    def __init__(self, factor=1):
        self.factor = factor

    def __mul__(self, other):
        return Symbol(self.factor * other)


@pytest.fixture
def trt():
    creators = {}

    def register_creator(creator, namespace):
        return creators.setdefault((creator.name, namespace), creator) is creator

    interfaces = ("IPluginV3", "IPluginV3OneCore", "IPluginV3OneBuild", "IPluginV3OneRuntime", "IPluginCreatorV3One")
    return SimpleNamespace(
        __name__="tensorrt_rtx",
        creators=creators,
        get_plugin_registry=lambda: SimpleNamespace(register_creator=register_creator),
        PluginField=lambda name, data, kind: SimpleNamespace(name=name, data=data, kind=kind),
        PluginFieldCollection=list,
        PluginFieldType=SimpleNamespace(CHAR="char"),
        DataType=SimpleNamespace(FLOAT="FLOAT", HALF="HALF", BF16="BF16"),
        TensorFormat=SimpleNamespace(LINEAR="linear"),
        DimsExprs=lambda length: [None] * length,
        **{name: type(name, (Base,), {}) for name in interfaces},
    )


@pytest.fixture
def driver(monkeypatch):
    """cuda.bindings.driver; `launched` and `loaded` are what was asked, `answer` the code it gives."""
    codes = enum.IntEnum("CUresult", {"CUDA_SUCCESS": 0, "CUDA_ERROR_INVALID_PTX": 218})
    fake = ModuleType("cuda.bindings.driver")
    fake.loaded, fake.launched, fake.answer = [], [], codes.CUDA_SUCCESS
    fake.codes = codes
    fake.cuCtxGetCurrent = lambda: (codes.CUDA_SUCCESS, id(fake))
    fake.cuModuleLoadData = lambda ptx: (fake.answer, fake.loaded.append(ptx) or "module")
    fake.cuModuleGetFunction = lambda module, name: (codes.CUDA_SUCCESS, (module, name))
    fake.cuLaunchKernel = lambda *arguments: (fake.answer, *(fake.launched.append(arguments) or ()))
    bindings = ModuleType("cuda.bindings")
    bindings.driver = fake
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", fake)
    return fake


@pytest.fixture
def plugin(trt):
    plugin_v3.register_plugins.__wrapped__(trt)
    fields = [SimpleNamespace(name=n, data=text.encode() + b"\0") for n, text in CALL.fields().items()]
    return trt.creators["ScoreWords", "cstm"].create_plugin("node", fields, None)


def described(type_, format_="linear"):
    return SimpleNamespace(desc=SimpleNamespace(type=type_, format=format_))


def test_every_step_has_a_creator(trt):
    plugin_v3.register_plugins.__wrapped__(trt)
    assert {name for name, _ in trt.creators} == set(STEPS)
    with pytest.raises(EngineError, match="does not take the plugin"):
        plugin_v3.register_plugins.__wrapped__(trt)


def test_a_plugin_comes_back_from_its_fields(trt, plugin):
    assert plugin.call == CALL
    kept = plugin.get_fields_to_serialize()
    again = trt.creators["ScoreWords", "cstm"].create_plugin("node", kept, None)
    assert again.call == CALL and again.clone().call == CALL
    assert (plugin.plugin_name, plugin.plugin_namespace, plugin.plugin_version) == ("ScoreWords", "cstm", "1")


def test_shape_type_and_format(plugin):
    builder = SimpleNamespace(constant=lambda size: size)
    assert plugin.get_output_shapes([["batch", 480, 6400], ["batch", 480, 24]], [], builder) == [["batch", 64, 24]]
    assert plugin.get_output_data_types(["HALF", "HALF"]) == ["FLOAT"]
    tensors = [described("HALF"), described("HALF"), described("FLOAT")]
    assert all(plugin.supports_format_combination(i, tensors, 2) for i in range(3))
    assert not plugin.supports_format_combination(2, [*tensors[:2], described("HALF")], 2)
    assert not plugin.supports_format_combination(0, [described("HALF", "chw16"), *tensors[1:]], 2)


def test_it_launches_its_kernel_for_the_batch_at_hand(plugin, driver):
    attached = [plugin.attach_to_context(None) for _ in range(2)]
    assert driver.loaded == [b"ptx\0"]  # once a process
    attached[0].enqueue([SimpleNamespace(dims=(3, 480, 6400))], None, [11, 12], [13], 0, 77)
    ((function, *grid_and_block, shared, stream, (values, kinds), extra),) = driver.launched
    assert function == ("module", b"score_words")
    assert grid_and_block == [480 * 3, 2, 1, 128, 1, 1] and (shared, stream, extra) == (256, 77, 0)
    assert values == (11, 12, 480, 6400, 13)
    pointer, integer = ctypes.c_void_p, ctypes.c_int32
    assert kinds == (pointer, pointer, integer, integer, pointer)


def test_the_drivers_refusal_is_told(plugin, driver):
    attached = plugin.attach_to_context(None)
    driver.answer = driver.codes.CUDA_ERROR_INVALID_PTX
    with pytest.raises(EngineError, match=r"launching score_words on 1920 programs: .* CUDA_ERROR_INVALID_PTX"):
        attached.enqueue([SimpleNamespace(dims=(2, 480, 6400))], None, [1, 2], [3], 0, 0)
    plugin_v3._load_into.cache_clear()
    with pytest.raises(EngineError, match="loading score_words"):
        plugin.attach_to_context(None)


class Descriptor:
    def __init__(self, shape_expr, dtype):
        self.shape_expr, self.dtype = shape_expr, dtype


def test_the_decorators_get_the_same_kernel(trt):
    registered, implemented = {}, {}
    trtp = SimpleNamespace(
        TensorDesc=Descriptor,
        ShapeExprs=SimpleNamespace(from_tuple=tuple),
        KernelLaunchParams=SimpleNamespace,
        SymIntExprs=lambda length: [None] * length,
        SymInt32=int,
        register=lambda plugin: lambda function: registered.setdefault(plugin, function),
        aot_impl=lambda plugin: lambda function: implemented.setdefault(plugin, function),
    )
    plugin_aot.register_aot_plugins.__wrapped__(trt, trtp)
    assert set(registered) == set(implemented) == {f"cstm::{name}" for name in STEPS}
    for name, count in STEPS.items():
        inputs = [f"input_{index}" for index in range(count)]
        assert list(inspect.signature(registered[f"cstm::{name}"]).parameters) == [*inputs, "ptx", "call"]
        given = list(inspect.signature(implemented[f"cstm::{name}"]).parameters)
        assert given == [*inputs, "ptx", "call", "outputs", "tactic"]
    batch = Symbol()
    inputs = [Descriptor((batch, 480, 6400), "HALF"), Descriptor((batch, 480, 24), "HALF")]
    output = registered["cstm::ScoreWords"](*inputs, **CALL.fields())
    assert output.shape_expr == (batch, 64, 24) and output.dtype == "FLOAT"
    entry, ptx, launch, scalars = implemented["cstm::ScoreWords"](*inputs, *CALL.fields().values(), (output,), 0)
    assert (entry, ptx, scalars) == ("score_words", "ptx", [480, 6400])
    assert (launch.grid_x.factor, launch.grid_y, launch.block_x, launch.shared_mem) == (480, 2, 128, 256)
