"""Whatever a bundle's files hold, only our errors leave, each of one line."""

import json
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cstm.errors import BundleError, CSTMError, EngineError
from cstm.files import sha256
from cstm.models.config import CSTMConfig
from cstm.models.contract import Component, TensorSpec
from cstm.runtime.backends.open_model import OPEN_MODEL
from cstm.runtime.bundle import Bundle
from cstm.runtime.manifest import FileRecord, Manifest
from cstm.runtime.segmenter import Segmenter

pytestmark = pytest.mark.filterwarnings("ignore::cstm.runtime.segmenter.UntrainedWarning")
QUICK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", ["tokenizer.json", "golden.npz", "onnx/fp32/decoder.onnx"])
@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04"])
def test_files_that_were_built_wrong(bundle_copy, name, content):
    """The hash is right, the content is not."""
    (bundle_copy / name).write_bytes(content)
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": sha256(bundle_copy / name), "bytes": len(content)}
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CSTMError) as raised:
        Segmenter(bundle_copy, "onnxruntime").queries("dog")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("backend", OPEN_MODEL)
def test_a_model_that_fails_as_it_runs(tmp_path, backend):
    """Three numbers are no seven rows of five, which it is told as it runs."""
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Gather", ["x", "first"], ["row"]),
            onnx.helper.make_node("Cast", ["row"], ["shape"], to=onnx.TensorProto.INT64),
            onnx.helper.make_node("Reshape", ["x", "shape"], ["y"]),
        ],
        "broken",
        [tensor("x", onnx.TensorProto.FLOAT, ["batch", 3])],
        [tensor("y", onnx.TensorProto.FLOAT, ["batch", 5, 1])],
        [onnx.numpy_helper.from_array(np.array(0), "first")],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "m.onnx")
    specs = Component("broken", (TensorSpec("x", (3,)),), (TensorSpec("y", (5, 1)),))
    with (
        OPEN_MODEL[backend](specs, tmp_path / "m.onnx") as session,
        pytest.raises(EngineError, match="broken") as raised,
    ):
        session.run({"x": np.array([[7, 5, 1]], np.float32)})
    assert len(str(raised.value).splitlines()) == 1


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """The bytes of a bundle's manifest, in which nothing is wrong, and its folder."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "a.txt").write_bytes(b"a")
    files = {"a.txt": FileRecord(sha256(folder / "a.txt"), 1)}
    Manifest(CSTMConfig(), {"kind": "seeded"}, 2, ("fp32",), (), files).write(folder)
    Bundle(folder)
    return folder, (folder / "manifest.json").read_bytes()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=4), part, max_size=3),
    max_leaves=4,
)


@QUICK
@given(data=st.data())
def test_any_manifest(manifest, data):
    """One value anywhere, up to three levels down, becomes another."""
    folder, whole = manifest
    record = place = json.loads(whole)
    for _ in range(data.draw(st.integers(0, 2))):
        inner = [key for key, value in _items(place) if isinstance(value, dict | list) and value]
        if inner:
            place = place[data.draw(st.sampled_from(inner))]
    place[data.draw(st.sampled_from([key for key, _ in _items(place)]))] = data.draw(JSON)
    (folder / "manifest.json").write_text(json.dumps(record))
    with suppress(CSTMError):
        assert Bundle(folder).trained in (False, True)


def _items(place):
    return place.items() if isinstance(place, dict) else enumerate(place)


@QUICK
@given(start=st.floats(0, 1), length=st.integers(0, 40), put=st.binary(max_size=20))
def test_any_damage_to_a_manifest(manifest, start, length, put):
    folder, whole = manifest
    at = int(start * len(whole))
    (folder / "manifest.json").write_bytes(whole[:at] + put + whole[at + length :])
    with suppress(CSTMError):
        Bundle(folder)


@pytest.mark.parametrize("place", ["bytes", "max_batch"])
def test_numbers_that_json_takes_for_infinite(manifest, place):
    folder, whole = manifest
    record = json.loads(whole)
    (record["files"]["a.txt"] if place == "bytes" else record)[place] = float("inf")
    (folder / "manifest.json").write_text(json.dumps(record))
    with pytest.raises(BundleError, match="not understood"):
        Bundle(folder)
