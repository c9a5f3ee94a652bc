"""What TensorRT is asked for, with a Polygraphy that only listens."""

import sys
from types import ModuleType

import pytest

from cstm.export import engines


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


def test_networks_are_strongly_typed_and_profiles_reach_the_largest_batch(tmp_path, monkeypatch):
    asked = {}

    class Profile(dict):
        def add(self, name, *shapes):
            self[name] = shapes

    def network(path, **options):
        asked["network"] = path, options
        return "network"

    def config(**options):
        asked["config"] = options
        return "config"

    def engine(network, config, **options):
        asked["engine"] = network, config
        return lambda: b"engine"

    polygraphy = ModuleType("polygraphy.backend.trt")
    polygraphy.CreateConfig, polygraphy.EngineBytesFromNetwork = config, engine
    polygraphy.NetworkFromOnnxPath, polygraphy.Profile = network, Profile
    monkeypatch.setitem(sys.modules, "polygraphy.backend.trt", polygraphy)
    request = {
        "backend": "tensorrt_rtx",
        "plugins": False,
        "onnx": "a.onnx",
        "engine": str(tmp_path / "a.engine"),
        "timing_cache": str(tmp_path / "absent"),
        "profile": {"x": [[1, 3], [1, 3], [4, 3]]},
    }
    engines._build(request)
    # The precision is what the ONNX types say; TensorRT may choose none.
    assert asked["network"] == ("a.onnx", {"strongly_typed": True})
    assert asked["config"]["profiles"] == [{"x": ((1, 3), (1, 3), (4, 3))}]
    assert (tmp_path / "a.engine").read_bytes() == b"engine"
