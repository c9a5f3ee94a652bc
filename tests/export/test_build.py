"""The build as a whole: complete, resumable, all or nothing."""

import json
import os
import shutil
from dataclasses import asdict
from itertools import product

import pytest

from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.samples import CalibrationOptions
from cstm.commands.main import main
from cstm.errors import BundleError, CheckpointError, CSTMError, EngineError, ParityError, RequestError
from cstm.export import engines, make_models
from cstm.export.builder import BuildBundle, BuildOptions
from cstm.export.sources import Source
from cstm.export.steps import held
from cstm.models.contract import parts
from cstm.runtime.backends import backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.device_array import cuda_device
from cstm.runtime.tolerance import Difference


def rebuild(bundle_path, small_checkpoint, folder, **options):
    """A build in `folder` that finds the steps of the finished one done; (builder, output)."""
    output = folder / "again"
    work = bundle_path.parent / f".{bundle_path.name}.work"
    shutil.copytree(work, folder / ".again.work", dirs_exist_ok=True)
    options = BuildOptions(Source(small_checkpoint), output, **({"max_batch": 2} | options))
    return BuildBundle(options), output


def test_the_bundle_is_complete(bundle_path):
    bundle = Bundle(bundle_path)
    assert bundle.precisions == ("fp32", "fp16")
    assert not bundle.trained
    for name in bundle.manifest.files:
        assert bundle.file(name).is_file()
    on_disk = {str(p.relative_to(bundle_path)) for p in bundle_path.rglob("*") if p.is_file()}
    assert on_disk == {*bundle.manifest.files, "manifest.json"}
    checked = {(row["precision"], row["linked"]): row["relative"] < 1e-2 for row in bundle.manifest.parity}
    assert checked == dict.fromkeys(product(("fp32", "fp16"), (False, True)), True)
    onnx_rows = [row for row in bundle.manifest.built if row["kind"] == "onnx"]
    assert len(onnx_rows) == 12 and all(row["nodes"] > 0 for row in onnx_rows)
    assert all(row["macs"] > 0 for row in onnx_rows)


def test_engines_are_built_without_a_gpu(bundle_path):
    pytest.importorskip("tensorrt_rtx")
    bundle = Bundle(bundle_path)
    for precision in ("fp32", "fp16"):
        entries = bundle.engines("tensorrt_rtx", precision)
        assert set(entries) == set(parts(bundle.config))
        for entry in entries.values():
            tied_to = entry.built_with
            assert (tied_to.tensorrt, tied_to.gpu) == (pytest.importorskip("tensorrt_rtx").__version__, None)
            assert tied_to.attention == "native" or cuda_device()  # without a GPU, nothing is measured
            assert bundle.file(entry.file).stat().st_size > 1000


def test_a_second_build_runs_no_step(bundle_path, small_checkpoint, tmp_path):
    again, output = rebuild(bundle_path, small_checkpoint, tmp_path)
    again()
    assert again.steps.ran == []
    first, second = (json.loads((p / "manifest.json").read_text()) for p in (bundle_path, output))
    assert first == second


def test_a_failed_check_changes_nothing_and_is_redone(bundle_path, small_checkpoint, tmp_path, monkeypatch):
    again, output = rebuild(bundle_path, small_checkpoint, tmp_path)
    again()
    before = {p: p.read_bytes() for p in output.rglob("*") if p.is_file()}
    lost = tmp_path / ".again.work/onnx/fp16/decoder.onnx"
    lost.unlink()

    def fail(*_args, **_kwargs):
        raise ParityError("far off")

    with monkeypatch.context() as patched:
        patched.setattr(make_models, "verify_values", fail)
        failing, _ = rebuild_in_place(small_checkpoint, output)
        with pytest.raises(ParityError):
            failing()
    assert not lost.exists()
    assert {p: p.read_bytes() for p in output.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [".again.work", "again"]
    mended, _ = rebuild_in_place(small_checkpoint, output)
    mended()
    assert mended.steps.ran == ["onnx/fp16/decoder.onnx"]


def rebuild_in_place(small_checkpoint, output):
    return BuildBundle(BuildOptions(Source(small_checkpoint), output, max_batch=2)), output


def test_another_folder_is_never_replaced(small_checkpoint, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work")
    with pytest.raises(BundleError, match=r"holds chapter\.txt"):
        BuildBundle(BuildOptions(Source(small_checkpoint), tmp_path / "thesis"))
    (tmp_path / "thesis/manifest.json").write_text('{"name": "an extension"}')
    with pytest.raises(BundleError, match="no part of a bundle"):
        BuildBundle(BuildOptions(Source(small_checkpoint), tmp_path / "thesis"))
    with pytest.raises(BundleError, match="not a bundle"):
        BuildBundle(BuildOptions(Source(small_checkpoint), tmp_path / "thesis/chapter.txt"))
    assert (tmp_path / "thesis/chapter.txt").read_text() == "years of work"


def test_what_a_user_put_into_a_bundle_is_not_lost(bundle_copy, small_checkpoint):
    (bundle_copy / "overlay.mp4").write_text("kept")
    with pytest.raises(BundleError, match=r"overlay\.mp4, which is no part"):
        BuildBundle(BuildOptions(Source(small_checkpoint), bundle_copy))


def test_a_build_that_fails_at_once_leaves_nothing(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError):
        BuildBundle(BuildOptions(Source(tmp_path / "bad.safetensors"), tmp_path / "out", backend="none"))()
    assert [p.name for p in tmp_path.iterdir()] == ["bad.safetensors"]


def test_two_builds_of_one_bundle_do_not_meet(small_checkpoint, tmp_path):
    build = BuildBundle(BuildOptions(Source(small_checkpoint), tmp_path / "out", backend="none"))
    with (
        held(tmp_path / ".out.work"),
        pytest.raises(BundleError, match=f"process {os.getpid()}, since .* builds there"),
    ):
        build()
    assert build.steps.ran == []


def test_one_precision_and_no_engines(bundle_path, small_checkpoint, tmp_path):
    again, output = rebuild(bundle_path, small_checkpoint, tmp_path, precisions=("fp16",), backend="none")
    again()
    bundle = Bundle(output)
    assert bundle.precisions == ("fp16",) and bundle.manifest.engines == ()
    assert not any(name.startswith("onnx/fp32") for name in bundle.manifest.files)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "absent.pth"], "no such file"),
        (["--checkpoint", "a.pth", "--preset", "tiny"], "leave out --preset"),
        (["--max-batch", "0"], "must be 1 or more"),
        (["--backend", "tensorrt"], "tensorrt"),
    ],
)
def test_bad_requests_are_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    if "tensorrt" in arguments and engines.engine_problem("tensorrt") is None:
        pytest.skip("TensorRT and a GPU are here")
    monkeypatch.chdir(tmp_path)
    assert main(["build", *arguments, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_every_problem_is_a_cstm_error():
    assert issubclass(ParityError, CSTMError) and issubclass(EngineError, CSTMError)


INT8 = {
    "precisions": ("fp32", "int8"),
    "backend": "none",
    "calibration": CalibrationOptions(samples=4, force=True),
}


@pytest.fixture(scope="module")
def int8_build(bundle_path, small_checkpoint, tmp_path_factory):
    """A build in FP32 and INT8 on few samples; (its folder, builder, output)."""
    folder = tmp_path_factory.mktemp("int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        build, output = rebuild(bundle_path, small_checkpoint, folder, **INT8)
        build()
    return folder, build, output


def test_int8_comes_with_its_plan_its_calibration_and_what_it_costs(int8_build, fp32_models):
    *_, output = int8_build
    bundle = Bundle(output)
    manifest = bundle.manifest
    assert bundle.precisions == ("fp32", "int8")
    assert manifest.plan == PrecisionPlan.everything(fp32_models).to_dict()
    assert manifest.calibration == asdict(INT8["calibration"])
    fp32, int8 = manifest.accuracy
    assert (fp32["precision"], fp32["drop"], fp32["agreement"]) == ("fp32", 0, 1)
    assert int8["precision"] == "int8" and 0 < int8["agreement"] <= 1 and int8["samples"] == fp32["samples"] == 8
    quantised = {r["component"]: r["quantised"] for r in manifest.built if "quantised" in r}
    assert {name for name, count in quantised.items() if count} == set(manifest.plan["int8"])
    assert not any("int8_tensorrt" in name for name in manifest.files)


def test_int8_runs_the_recorded_inference(int8_build):
    bundle = Bundle(int8_build[2])
    assert "int8" in backend("onnxruntime").precisions(bundle)
    inputs, expected = bundle.golden()
    with Chain(bundle.config, backend("onnxruntime").open(bundle, "int8")) as chain:
        difference = Difference.between(chain(inputs), expected)
    assert 1e-4 < difference.relative < 0.1


def test_a_second_int8_build_runs_no_step(int8_build, small_checkpoint):
    _, first, output = int8_build
    assert "onnx/int8/decoder.onnx" in first.steps.ran and "onnx/fp32/decoder.onnx" not in first.steps.ran
    before = (output / "manifest.json").read_text()
    again = BuildBundle(BuildOptions(Source(small_checkpoint), output, max_batch=2, **INT8))
    again()
    assert again.steps.ran == [] and (output / "manifest.json").read_text() == before


def test_a_plan_for_another_network_stops_the_build_before_it_quantises(bundle_path, small_checkpoint, tmp_path):
    plan = PrecisionPlan({"decoder": ("head", "step_9")})
    build, output = rebuild(bundle_path, small_checkpoint, tmp_path, **INT8, plan=plan)
    with pytest.raises(RequestError, match="names decoder step_9"):
        build()
    assert build.steps.ran == [] and not output.exists()


def test_a_plan_chooses_the_blocks(int8_build, small_checkpoint):
    folder, _, output = int8_build
    shutil.copytree(folder / ".again.work", folder / ".planned.work")
    plan = PrecisionPlan({"decoder": ("head",), "spatial_encoder": ("stage_5",)})
    options = BuildOptions(Source(small_checkpoint), folder / "planned", max_batch=2, plan=plan, **INT8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        manifest = Bundle(BuildBundle(options)()).manifest
    quantised = {r["component"]: r["quantised"] for r in manifest.built if "quantised" in r}
    assert quantised == dict.fromkeys(quantised, 0) | {"decoder": 1, "spatial_encoder": 6}
    before, after = (output / "onnx/fp32/temporal_encoder.onnx", folder / "planned/onnx/int8/temporal_encoder.onnx")
    assert after.read_bytes() == before.read_bytes()


def test_int8_engines_come_with_int8(int8_build, small_checkpoint):
    pytest.importorskip("tensorrt_rtx")
    folder, *_ = int8_build
    shutil.copytree(folder / ".again.work", folder / ".engines.work")
    changes = INT8 | {"precisions": ("int8",), "backend": "tensorrt_rtx"}
    options = BuildOptions(Source(small_checkpoint), folder / "engines", max_batch=2, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        bundle = Bundle(BuildBundle(options)())
    engines = bundle.engines("tensorrt_rtx", "int8")
    assert engines.keys() == parts(bundle.config).keys()
    assert all(bundle.file(engine.file).stat().st_size > 1000 for engine in engines.values())
