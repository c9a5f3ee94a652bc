"""What TensorRT is asked for, with a Polygraphy that only listens."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from cstm.errors import EngineError
from cstm.export import engines
from cstm.models.contract import Component, TensorSpec, contract
from cstm.runtime.bundle import Bundle


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "[I] on\n[E] node 3: no Frob\n[!] Could not parse\nTraceback\n  line 1\nOops: could not",
            "node 3: no Frob | Could not parse",
        ),
        ("Traceback\n  line 1\nImportError: no such library", "Traceback |   line 1 | ImportError: no such library"),
        ("", "it ended without a word"),
    ],
)
def test_the_words_of_a_failed_build_are_tensorrts_own(output, said):
    assert engines._errors(output) == said


class Config:
    """An IBuilderConfig that only listens."""

    def __init__(self):
        self.__dict__["told"] = []

    def set_flag(self, flag):
        self.told.append(flag)

    def __setattr__(self, name, value):
        self.told.append((name, value))


TRT = SimpleNamespace(
    BuilderFlag=SimpleNamespace(REQUIRE_USER_ALLOCATION="user allocation", VERSION_COMPATIBLE="versions"),
    HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS="ampere on"),
)
GPUS = ("hardware_compatibility_level", "ampere on")


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"backend": "tensorrt_rtx"}, ["user allocation"]),
        ({}, ["versions"]),
        ({"version_compatible": False}, []),
        ({"hardware_compatible": True}, ["versions", GPUS]),
    ],
)
def test_networks_are_strongly_typed_and_profiles_reach_the_largest_batch(tmp_path, monkeypatch, changes, flags):
    asked = {}
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, TRT)

    class Profile(dict):
        def add(self, name, *shapes):
            self[name] = shapes

    def network(path, **options):
        asked["network"] = path, options
        return "network"

    def config(**options):
        asked["config"] = options
        return Config()

    def then(config, change):
        change("builder", "network", config)
        return config

    def engine(network, config, **options):
        asked["engine"] = network, config
        return lambda: b"engine"

    polygraphy = ModuleType("polygraphy.backend.trt")
    polygraphy.CreateConfig, polygraphy.EngineBytesFromNetwork = config, engine
    polygraphy.NetworkFromOnnxPath, polygraphy.Profile, polygraphy.PostprocessConfig = network, Profile, then
    monkeypatch.setitem(sys.modules, "polygraphy.backend.trt", polygraphy)
    request = {
        "backend": "tensorrt",
        "plugins": False,
        "onnx": "a.onnx",
        "engine": str(tmp_path / "a.engine"),
        "timing_cache": str(tmp_path / "absent"),
        "profiles": [{"x": [[1, 3], [1, 3], [1, 3]]}, {"x": [[2, 3], [2, 3], [4, 3]]}],
        "hardware_compatible": False,
        "version_compatible": True,
    } | changes
    engines._build(request)
    # The precision is what the ONNX types say; TensorRT may choose none.
    assert asked["network"] == ("a.onnx", {"strongly_typed": True})
    assert asked["config"]["profiles"] == [{"x": ((1, 3), (1, 3), (1, 3))}, {"x": ((2, 3), (2, 3), (4, 3))}]
    assert asked["engine"][1].told == flags
    assert (tmp_path / "a.engine").read_bytes() == b"engine"


@pytest.mark.parametrize(
    ("most", "profiles"), [(1, [[1, 1, 1]]), (2, [[1, 1, 1], [2, 2, 2]]), (5, [[1, 1, 1], [2, 2, 5]])]
)
def test_one_profile_is_for_one_sentence_and_one_for_more(tmp_path, monkeypatch, most, profiles):
    component = Component("toy", (TensorSpec("x", (3,)),), (TensorSpec("y", (3,)),))
    asked = {}

    def run(command, **_):
        request = json.loads(Path(command[-1]).read_text())
        asked.update(request)
        Path(request["engine"]).write_bytes(b"engine")
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(engines.subprocess, "run", run)
    options = engines.EngineOptions("tensorrt_rtx", max_batch=most)
    engines.BuildEngine(tmp_path / "a.onnx", component, options, tmp_path / "cache")(tmp_path / "a.engine")
    assert asked["profiles"] == [{"x": [[batch, 3] for batch in three]} for three in profiles]
    assert (tmp_path / "a.engine").read_bytes() == b"engine"


def test_an_engine_that_cannot_be_built_says_so(bundle_path, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    component = contract(Bundle(bundle_path).config)["decoder"]
    broken = tmp_path / "decoder.onnx"
    broken.write_bytes(b"no model")
    build = engines.BuildEngine(broken, component, engines.EngineOptions("tensorrt_rtx"), tmp_path / "cache")
    with pytest.raises(EngineError, match=r"decoder: tensorrt_rtx could not build .*parse"):
        build(tmp_path / "decoder.engine")
    assert not list(tmp_path.glob("*.engine"))
