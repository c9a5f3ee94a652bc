"""A bundle opened on a backend: chosen, proved, or refused with a reason."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cstm import Segmenter
from cstm.errors import (
    BundleError,
    EngineError,
    MissingDependencyError,
    ParityError,
    RequestError,
)
from cstm.files import sha256
from cstm.models.contract import FRAME_GRAPH
from cstm.runtime.backends import MODULES, backend
from cstm.runtime.bundle import Bundle, onnx_file

from .test_segmenter import SENTENCES, frames

pytestmark = pytest.mark.filterwarnings("ignore::cstm.runtime.segmenter.UntrainedWarning")


def damage(path, change):
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_another_network_in_the_bundle_is_found_by_the_recorded_inference(bundle_copy):
    """Hashes agree, the answer does not: a file exchanged together with its hash."""
    import onnx

    name = onnx_file("decoder", "fp32")
    model = onnx.load(bundle_copy / name)
    weight = max(model.graph.initializer, key=lambda w: len(w.raw_data))
    array = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(1.2), weight.name))
    onnx.save(model, bundle_copy / name)
    record = {"sha256": sha256(bundle_copy / name), "bytes": (bundle_copy / name).stat().st_size}
    damage(bundle_copy, lambda m: m["files"].update({name: record}))
    with pytest.raises(ParityError, match="does not give the recorded masks"):
        Segmenter(bundle_copy, "onnxruntime")


def test_auto_says_why(bundle_path):
    with Segmenter(bundle_path) as segmenter:
        assert segmenter.precision in segmenter.backend.precisions(segmenter.bundle)
        assert segmenter.reason.endswith(f"{segmenter.backend.name}: chosen")


@pytest.mark.parametrize(
    "error", [EngineError("no memory"), ParityError("other masks"), OSError("libfoo.so.1: missing")]
)
def test_auto_goes_on_where_the_first_fails(error, bundle_path, monkeypatch, caplog):
    """The backend says that it can, and then fails at opening, at the recorded inference, or at its library."""
    from cstm.runtime import opening
    from cstm.runtime.backends.openvino import OpenVINOBackend

    def fail(*_):
        raise error

    if isinstance(error, ParityError):
        check = opening.check_golden
        monkeypatch.setattr(
            opening, "check_golden", lambda b, c, name, p: fail() if name == "openvino" else check(b, c, name, p)
        )
    else:
        place = "import_library" if isinstance(error, OSError) else "open_component"
        monkeypatch.setattr(OpenVINOBackend, place, fail)
    with caplog.at_level("INFO"), Segmenter(bundle_path) as segmenter:
        assert segmenter.backend.name == "onnxruntime"
        assert "openvino: " in segmenter.reason and str(error) in segmenter.reason
    assert str(error) in caplog.text
    with pytest.raises((EngineError, ParityError, MissingDependencyError), match=str(error)):
        Segmenter(bundle_path, "openvino")


def test_a_library_that_cannot_be_loaded_is_not_called_ready(monkeypatch):
    monkeypatch.setattr(type(backend("openvino")), "import_library", lambda self: 1 / 0)
    assert "cannot be loaded (ZeroDivisionError" in backend("openvino").problem()


def test_openvino_needs_no_home_and_reports_to_nobody(bundle_path, tmp_path):
    code = (
        "import sys; from cstm import Segmenter\n"
        f"Segmenter({str(bundle_path)!r}, 'openvino').close()\n"
        "assert sys.modules['openvino_telemetry'] is None"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HOME"} | {"HOME": str(tmp_path / "no")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "no").exists()


def test_unknown_backend(bundle_path):
    with pytest.raises(RequestError, match="no backend 'tensorflow'; choose from tensorrt, "):
        Segmenter(bundle_path, "tensorflow")


def test_a_missing_package_names_the_extra(bundle_path, monkeypatch):
    for name in MODULES:
        monkeypatch.setattr(type(backend(name)), "version", lambda self: None)
    for name, extra in (("openvino", "cpu"), ("tensorrt_rtx", "rtx"), ("torch", "export")):
        with pytest.raises(MissingDependencyError, match=rf"cstm\[{extra}\]"):
            Segmenter(bundle_path, name)
    with pytest.raises(MissingDependencyError, match="cstm doctor"):
        Segmenter(bundle_path)


def test_a_precision_that_is_not_there(bundle_path):
    with pytest.raises(RequestError, match="no int4 here, choose from fp32, fp16"):
        Segmenter(bundle_path, "onnxruntime", "int4")


def test_openvino_does_not_pass_bf16_off_as_fp32(bundle_path):
    bundle = Bundle(bundle_path)
    found = backend("openvino")
    inputs, expected = bundle.golden()
    for precision in found.precisions(bundle):
        with Segmenter(bundle, "openvino", precision) as segmenter:
            request = segmenter.chain.sessions[FRAME_GRAPH].requests[1]
            hint = str(request.get_compiled_model().get_property("INFERENCE_PRECISION_HINT"))
            error = np.abs(segmenter.chain(inputs) - expected).max()
        if precision == "fp32":
            assert "float" in hint or "f32" in hint
            assert error < 1e-4
        if precision == "bf16":
            assert "bf" in hint and error > 1e-4


def test_engines_of_another_tensorrt_are_refused_without_a_gpu(bundle_copy):
    pytest.importorskip("tensorrt_rtx")
    damage(bundle_copy, lambda m: [entry["built_with"].update(tensorrt="0.1") for entry in m["engines"]])
    with pytest.raises(EngineError, match=r"built with tensorrt_rtx 0\.1"):
        Segmenter(bundle_copy, "tensorrt_rtx")


def test_a_bundle_without_engines(bundle_copy):
    damage(bundle_copy, lambda m: m.update(engines=[]))
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises((MissingDependencyError, RequestError), match=r"no NVIDIA GPU|holds nothing"):
        Segmenter(bundle_copy, "tensorrt_rtx")


def test_a_damaged_model_is_refused(bundle_copy):
    path = bundle_copy / onnx_file("fusion", "fp32")
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(data)
    with pytest.raises(BundleError, match="altered"):
        Segmenter(bundle_copy, "onnxruntime")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("module", ["tensorrt", "tensorrt_rtx"])
def test_the_chain_of_engines_gives_the_same_masks(bundle_path, module, precision):
    """Also chained on the GPU, encoders on two streams, over more sentences than one batch takes."""
    problem = backend(module).problem(Bundle(bundle_path))
    if problem:
        pytest.skip(problem)
    many = [*SENTENCES, "the dog"]
    with Segmenter(bundle_path, "torch") as reference, Segmenter(bundle_path, module, precision) as segmenter:
        expected, actual = (list(s.segment(frames(20), many)) for s in (reference, segmenter))
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours.masks != theirs.masks).mean() < 0.02
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-2)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_threads_reach_every_session_and_masks_stay_the_same(bundle_path, name):
    with Segmenter(bundle_path, name, "fp32") as all_, Segmenter(bundle_path, name, "fp32", threads=1) as one:
        assert one.backend.threads == 1 and all_.backend.threads is None
        expected, found = (list(s.segment(frames(3), "a dog")) for s in (all_, one))
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.masks != theirs.masks).mean() < 1e-3


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "two"])
def test_what_is_no_number_of_threads(bundle_path, threads):
    with pytest.raises(RequestError, match="threads="):
        Segmenter(bundle_path, "onnxruntime", threads=threads)


def test_components_run_one_by_one_where_that_is_asked_for(bundle_path):
    with (
        Segmenter(bundle_path, "onnxruntime", "fp32", linked=False) as apart,
        Segmenter(bundle_path, "onnxruntime") as one,
    ):
        assert "decoder" in apart.chain.sessions and FRAME_GRAPH in one.chain.sessions
        for ours, theirs in zip(*(s.segment(frames(3), SENTENCES) for s in (apart, one)), strict=True):
            assert (ours.masks != theirs.masks).mean() < 1e-3


def test_a_linked_network_is_refused_where_there_is_none(bundle_path):
    with pytest.raises(RequestError, match="no linked program"):
        Segmenter(bundle_path, "torch", linked=True)
