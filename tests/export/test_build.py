"""The build as a whole: complete, resumable, all or nothing."""

import json
import shutil

import pytest

from cstm.errors import BundleError, CheckpointError, CSTMError, EngineError, ParityError
from cstm.export import build_engines, builder, engines
from cstm.export.builder import BuildBundle, BuildOptions
from cstm.export.sources import Source
from cstm.models.config import CSTMConfig
from cstm.models.contract import contract
from cstm.runtime.bundle import Bundle


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
    for name in bundle.manifest["files"]:
        assert bundle.file(name).is_file()
    on_disk = {str(p.relative_to(bundle_path)) for p in bundle_path.rglob("*") if p.is_file()}
    assert on_disk == {*bundle.manifest["files"], "manifest.json"}
    assert {row["precision"]: row["relative"] < 1e-2 for row in bundle.manifest["parity"]} == {"fp32": 1, "fp16": 1}
    onnx_rows = [row for row in bundle.manifest["built"] if row["kind"] == "onnx"]
    assert len(onnx_rows) == 10 and all(row["macs"] > 0 and row["nodes"] > 0 for row in onnx_rows)


def test_engines_are_built_without_a_gpu(bundle_path):
    pytest.importorskip("tensorrt_rtx")
    bundle = Bundle(bundle_path)
    for precision in ("fp32", "fp16"):
        entries = bundle.engines("tensorrt_rtx", precision)
        assert set(entries) == set(contract(bundle.config))
        for entry in entries.values():
            assert entry["tensorrt"] == engines.metadata.version("tensorrt-rtx-cu13") and entry["gpu"] is None
            assert bundle.file(entry["file"]).stat().st_size > 1000


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
        patched.setattr(builder, "verify_values", fail)
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
    with pytest.raises(BundleError, match="is not a bundle"):
        BuildBundle(BuildOptions(Source(small_checkpoint), tmp_path / "thesis"))
    assert (tmp_path / "thesis/chapter.txt").read_text() == "years of work"


def test_one_precision_and_no_engines(bundle_path, small_checkpoint, tmp_path):
    again, output = rebuild(bundle_path, small_checkpoint, tmp_path, precisions=("fp16",), backend="none")
    again()
    bundle = Bundle(output)
    assert bundle.precisions == ("fp16",) and bundle.manifest["engines"] == []
    assert not any(name.startswith("onnx/fp32") for name in bundle.manifest["files"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "absent.pth"], "no such checkpoint"),
        (["--checkpoint", "a.pth", "--preset", "tiny"], "leave out --preset"),
        (["--max-batch", "0"], "must be 1 or more"),
        (["--backend", "tensorrt"], "tensorrt"),
    ],
)
def test_bad_requests_are_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    if "tensorrt" in arguments and engines._problem("tensorrt") is None:
        pytest.skip("TensorRT and a GPU are here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["build_engines.py", *arguments, "--output", str(tmp_path / "out")])
    assert build_engines.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_words_must_come_with_the_weights(tmp_path, small_checkpoint):
    released = CSTMConfig.from_preset("released")
    with pytest.raises(CheckpointError, match="--glove"):
        Source(checkpoint=small_checkpoint).write_text_files(released, tmp_path)
    with pytest.raises(CheckpointError, match="--tokenizer"):
        Source(checkpoint=small_checkpoint).write_text_files(CSTMConfig.from_preset("tiny", vocabulary=30), tmp_path)
    (tmp_path / "glove.txt").write_text("dog " + " ".join(["0.5"] * 300) + "\n. " + " ".join(["1"] * 300) + "\n")
    Source(checkpoint=small_checkpoint, glove=tmp_path / "glove.txt").write_text_files(released, tmp_path)
    (tmp_path / "bad.txt").write_text("dog 1 2\n")
    with pytest.raises(CheckpointError, match="line 1"):
        Source(glove=tmp_path / "bad.txt").write_text_files(released, tmp_path)


def test_an_engine_that_cannot_be_built_says_so(bundle_path, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    component = contract(Bundle(bundle_path).config)["decoder"]
    broken = tmp_path / "decoder.onnx"
    broken.write_bytes(b"no model")
    build = engines.BuildEngine(broken, component, engines.EngineOptions("tensorrt_rtx"), tmp_path / "cache")
    with pytest.raises(EngineError, match="decoder: tensorrt_rtx could not build"):
        build(tmp_path / "decoder.engine")
    assert not list(tmp_path.glob("*.engine"))


def test_every_problem_is_a_cstm_error():
    assert issubclass(ParityError, CSTMError) and issubclass(EngineError, CSTMError)
