"""CMAM and LGFS in engines: built as plugins without a GPU, and a choice that is measured."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from cstm.commands.main import main
from cstm.errors import EngineError, MissingDependencyError, RequestError
from cstm.export import attention, open_engine
from cstm.export.attention import BuildAttention
from cstm.export.choices import AUTO, NATIVE, PLUGIN
from cstm.export.engines import EngineOptions
from cstm.models.contract import contract
from cstm.runtime.bundle import Bundle, onnx_file
from cstm.runtime.manifest import BuiltWith

RTX = EngineOptions("tensorrt_rtx", 2)


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle(bundle_path)


@pytest.mark.parametrize(("name", "precision"), [("temporal_encoder", "fp16"), ("fusion", "fp32"), ("decoder", "fp16")])
def test_engines_with_plugins_are_built_without_a_gpu(bundle, name, precision, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("triton")
    component, model = contract(bundle.config)[name], bundle.file(onnx_file(name, precision))
    build = BuildAttention(component, RTX, PLUGIN, tmp_path / "cache", lambda: {})
    told = build(model, tmp_path / "engine")
    engine = (tmp_path / "engine").read_bytes()
    kernels = {"temporal_encoder": (b"score_words", b"raise_channels"), "fusion": (b"blend_streams",), "decoder": ()}
    assert told == {"attention": PLUGIN if kernels[name] else NATIVE}
    assert all(kernel in engine for kernel in kernels[name])
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", "cache.lock", "engine"}


def test_auto_takes_native_where_no_gpu_is(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "cuda_device", lambda: None)
    built = fake_builds(monkeypatch)
    build = BuildAttention(contract(bundle.config)["fusion"], RTX, AUTO, tmp_path, lambda: {})
    assert build(bundle.file(onnx_file("fusion", "fp32")), tmp_path / "engine") == {"attention": NATIVE}
    assert built == [False]


class FakeSession:
    """Opens what `fake_builds` wrote; what it answers by form is set on the class."""

    answers: ClassVar[dict] = {}

    def __init__(self, component, file, *, built_with, **_):
        assert file.read_text() == f"plugins {built_with.attention == PLUGIN}"
        self.answer = self.answers[built_with.attention]

    def run(self, inputs):
        return {"fused_1": self.answer}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def on_a_gpu(bundle, tmp_path, monkeypatch):
    """on_a_gpu(seconds by form, plugin's answer): what building with AUTO says, and what the engine holds."""
    monkeypatch.setattr(attention, "cuda_device", lambda: "a GPU")
    monkeypatch.setattr(open_engine, "TensorRTSession", FakeSession)
    built = fake_builds(monkeypatch)

    def build(seconds, plugin=1.0):
        answers = {NATIVE: np.array([1.0, 2.0]), PLUGIN: np.array([plugin, 2.0])}
        monkeypatch.setattr(FakeSession, "answers", answers)
        monkeypatch.setattr(attention, "session_medians", lambda sessions, inputs, repeats: [*seconds.values()])
        build = BuildAttention(contract(bundle.config)["fusion"], RTX, AUTO, tmp_path / "c", dict)
        told = build(bundle.file(onnx_file("fusion", "fp32")), tmp_path / "engine")
        assert [p.name for p in tmp_path.iterdir()] == ["engine"] and built == [False, True]
        assert (tmp_path / "engine").read_text() == f"plugins {told['attention'] == PLUGIN}"
        return told

    return build


@pytest.mark.parametrize("faster", [NATIVE, PLUGIN])
def test_auto_keeps_the_faster(on_a_gpu, faster):
    seconds = {NATIVE: 2.0, PLUGIN: 2.0} | {faster: 1.0}
    told = on_a_gpu(seconds)
    assert told == {"attention": faster, "attention_ms": {k: 1e3 * v for k, v in seconds.items()}}


@pytest.mark.parametrize("wrong", [1.2, np.nan])
def test_auto_does_not_take_plugins_that_are_wrong(on_a_gpu, wrong):
    told = on_a_gpu({NATIVE: 2.0, PLUGIN: 1.0}, plugin=wrong)
    assert told["attention"] == NATIVE and "fusion: no plugins: with them fused_1 differs" in told["attention_note"]


def test_auto_does_without_plugins_that_do_not_build(on_a_gpu, monkeypatch):
    honest = attention.BuildEngine

    def build(onnx_path, component, options, cache):
        write = honest(onnx_path, component, options, cache)

        def refuse(target):
            write(target)
            if options.plugins:
                raise EngineError("this GPU takes no plugin")

        return refuse

    monkeypatch.setattr(attention, "BuildEngine", build)
    told = on_a_gpu({NATIVE: 2.0, PLUGIN: 1.0})
    assert told == {"attention": NATIVE, "attention_note": "fusion: no plugins: this GPU takes no plugin"}


def fake_builds(monkeypatch) -> list[bool]:
    """Engines that only say whether they were to hold plugins; what was built."""
    built = []

    def build(onnx_path, component, options, cache):
        def write(target):
            built.append(options.plugins)
            target.write_text(f"plugins {options.plugins}")

        return write

    monkeypatch.setattr(attention, "BuildEngine", build)
    monkeypatch.setattr(open_engine, "built_with", lambda of: BuiltWith("1", None, PLUGIN if of.plugins else NATIVE))
    return built


def test_auto_says_what_it_lacks_to_compare(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "cuda_device", lambda: "a GPU")
    monkeypatch.setattr(attention, "find_spec", lambda name: None)
    fake_builds(monkeypatch)
    build = BuildAttention(contract(bundle.config)["fusion"], RTX, AUTO, tmp_path, dict)
    told = build(bundle.file(onnx_file("fusion", "fp32")), tmp_path / "engine")
    assert told["attention"] == NATIVE and "triton is not installed" in told["attention_note"]


def test_plugins_that_cannot_be_made_are_refused_at_once(tmp_path, monkeypatch, capsys):
    words = ["build", "--attention", "plugin", "--output", str(tmp_path / "out")]
    assert main([*words, "--backend", "none"]) == 2
    assert "plugins are part of engines" in capsys.readouterr().err
    monkeypatch.setattr(attention, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"cstm\[kernels\]"):
        attention.check_request(PLUGIN, EngineOptions("tensorrt_rtx"))
    attention.check_request(AUTO, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--hardware-compatible", "--version-compatible"])
def test_where_no_engines_are_built_none_are_for_others(tmp_path, capsys, option):
    assert main(["build", "--backend", "none", option, "--output", str(tmp_path / "out")]) == 2
    assert "no engines are built" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("asked", ["hardware_compatible", "version_compatible"])
def test_engines_for_others_are_tensorrts_and_native(bundle, tmp_path, monkeypatch, asked):
    option = f"--{asked.replace('_', '-')}"
    attention.check_request(AUTO, EngineOptions("tensorrt", **{asked: True}))
    with pytest.raises(RequestError, match=f"{option} is for engines of tensorrt; those of tensorrt_rtx run on every"):
        attention.check_request(AUTO, EngineOptions("tensorrt_rtx", **{asked: True}))
    with pytest.raises(RequestError, match=f"{option}: plugins are compiled for the GPU at hand"):
        attention.check_request(PLUGIN, EngineOptions("tensorrt", **{asked: True}))
    monkeypatch.setattr(attention, "cuda_device", lambda: "a GPU")
    built = fake_builds(monkeypatch)
    options = EngineOptions("tensorrt", 2, **{asked: True})
    build = BuildAttention(contract(bundle.config)["fusion"], options, AUTO, tmp_path, dict)
    assert build(bundle.file(onnx_file("fusion", "fp32")), tmp_path / "engine") == {"attention": NATIVE}
    assert built == [False]
