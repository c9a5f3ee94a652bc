"""The commands as a user meets them: exit codes, one line a problem, nothing left behind."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from cstm.commands.main import main
from cstm.data.demo import DEMO_VIDEO
from cstm.runtime.rle import decode
from cstm.runtime.video_writer import VideoWriter

SENTENCE = "the woman in black"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def segment(bundle, *arguments):
    return main(["segment", *map(str, arguments), "--bundle", str(bundle)])


def test_segment_writes_overlay_and_masks(bundle_path, folder, capsys):
    code = segment(bundle_path, DEMO_VIDEO, SENTENCE, "the dog", "--every", 10, "--out", "o.mp4", "--masks", "m.json")
    printed = capsys.readouterr()
    assert code == 0
    assert "7 frames" in printed.out and "o.mp4" in printed.out
    assert "untrained weights" in printed.err
    written = json.loads(Path("m.json").read_text())
    assert (written["size"], written["sentences"]) == ([576, 768], [SENTENCE, "the dog"])
    assert [frame["index"] for frame in written["frames"]] == list(range(0, 70, 10))
    assert decode(written["frames"][3]["masks"][1]).shape == (576, 768)
    with av.open("o.mp4") as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width, float(stream.average_rate)) == (576, 768, 1.0)
        assert len(list(container.decode(stream))) == 7
    assert sorted(p.name for p in folder.iterdir()) == ["m.json", "o.mp4"]


def test_the_overlay_is_named_after_the_video(bundle_path, folder):
    assert segment(bundle_path, DEMO_VIDEO, SENTENCE, "--every", 35) == 0
    assert [p.name for p in folder.iterdir()] == ["people.overlay.mp4"]


def cut_video(path):
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), dtype=np.uint8)
    with VideoWriter(path, (48, 64), 10) as writer:
        for image in noise:
            writer.write(image)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def test_a_video_that_breaks_off_is_segmented_up_to_there(bundle_path, folder, capsys):
    cut_video(folder / "cut.mp4")
    assert segment(bundle_path, "cut.mp4", SENTENCE, "--out", "o.mp4", "--masks", "m.json") == 2
    printed = capsys.readouterr()
    frames = json.loads(Path("m.json").read_text())["frames"]
    assert 3 < len(frames) < 28
    assert f"{len(frames)} frames" in printed.out
    assert "cut.mp4: breaks off" in printed.err and "Traceback" not in printed.err
    with av.open("o.mp4") as container:
        assert len(list(container.decode(video=0))) == len(frames)


def empty_video(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    return path


BAD = {
    "no such file": (["absent.mp4", SENTENCE], "no such file"),
    "not a video": (["notes.txt", SENTENCE], "not a video"),
    "no frames": (["empty.mp4", SENTENCE], "empty.mp4"),
    "an empty folder": (["folder", SENTENCE], "holds no images"),
    "an empty sentence": ([DEMO_VIDEO, ""], "holds no word"),
    "a sentence of 10,000 characters": ([DEMO_VIDEO, "dog " * 2500], "shorten it"),
    "a sentence in another script": ([DEMO_VIDEO, "собака бежит"], "plain English"),
    "an unknown backend": ([DEMO_VIDEO, SENTENCE, "--backend", "caffe"], "no backend 'caffe'"),
    "an unknown precision": ([DEMO_VIDEO, SENTENCE, "--backend", "onnxruntime", "--precision", "fp8"], "no fp8"),
    "the video itself as output": ([DEMO_VIDEO, SENTENCE, "--out", DEMO_VIDEO], "three different files"),
    "a place that cannot be written": ([DEMO_VIDEO, SENTENCE, "--out", "notes.txt/o.mp4"], "notes.txt"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, bundle_path, folder, capsys):
    arguments, said = BAD[name]
    (folder / "folder").mkdir()
    (folder / "notes.txt").write_text("not a video\n" * 100)
    empty_video(folder / "empty.mp4")
    before = sorted(p.name for p in folder.iterdir())
    assert segment(bundle_path, *arguments, "--masks", "m.json") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ") and said in lines[0]
    assert sorted(p.name for p in folder.iterdir()) == before


def damaged(bundle_path, folder, damage):
    copy = Path(shutil.copytree(bundle_path, folder / "damaged"))
    damage(copy)
    return copy


def edit(**changes):
    def damage(path):
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps(manifest | changes))

    return damage


def older_engines(path):
    manifest = json.loads((path / "manifest.json").read_text())
    for entry in manifest["engines"]:
        entry["built_with"]["tensorrt"] = "0.1"
    (path / "manifest.json").write_text(json.dumps(manifest))


BAD_BUNDLES = {
    "no bundle": (shutil.rmtree, [], "not a bundle"),
    "another schema": (edit(schema=7), [], "schema 7"),
    "a missing file": (lambda p: (p / "golden.npz").unlink(), [], "missing"),
    "an altered file": (lambda p: (p / "golden.npz").write_bytes(b"x"), [], "altered"),
    "engines of another TensorRT": (older_engines, ["--backend", "tensorrt_rtx"], "built with tensorrt_rtx 0.1"),
}


@pytest.mark.parametrize("name", BAD_BUNDLES)
def test_bad_bundles(name, bundle_path, folder, capsys):
    damage, arguments, said = BAD_BUNDLES[name]
    if arguments:
        pytest.importorskip("tensorrt_rtx")
    bundle = damaged(bundle_path, folder, damage)
    assert segment(bundle, DEMO_VIDEO, SENTENCE, "--out", "o.mp4", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and len(error.splitlines()) == 1 and said in error
    assert not Path("o.mp4").exists()


def test_a_missing_package(bundle_path, folder, capsys, monkeypatch):
    from cstm.runtime.backends import Backend

    monkeypatch.setattr(Backend, "version", lambda self: None)
    assert segment(bundle_path, DEMO_VIDEO, SENTENCE, "--backend", "openvino") == 2
    assert 'pip install "cstm[cpu]"' in capsys.readouterr().err


def test_parity_passes_and_says_what_it_left_out(bundle_path, folder, capsys):
    assert main(["parity", str(bundle_path), "--json", "p.json"]) == 0
    printed = capsys.readouterr().out
    rows = json.loads(Path("p.json").read_text())
    assert f"{len(rows)} of {len(rows)} within tolerance" in printed
    ran = {(row["backend"], row["precision"]) for row in rows}
    assert {("torch", "fp32"), ("onnxruntime", "fp32"), ("onnxruntime", "fp16"), ("openvino", "fp32")} <= ran
    assert {row["part"] for row in rows} >= {"whole chain", "text_encoder", "decoder"}


def test_parity_fails_where_results_differ(bundle_path, folder, monkeypatch, capsys):
    from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession

    run = OnnxRuntimeSession.run

    def off(self, inputs):
        return {name: array * np.float32(1.02) for name, array in run(self, inputs).items()}

    monkeypatch.setattr(OnnxRuntimeSession, "run", off)
    assert main(["parity", str(bundle_path), "--backends", "onnxruntime"]) == 1
    assert "NO" in capsys.readouterr().out


def test_parity_reports_a_backend_that_breaks(bundle_path, folder, monkeypatch, capsys):
    from cstm.errors import EngineError
    from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession

    def broken(self, inputs):
        raise EngineError("out of memory")

    monkeypatch.setattr(OnnxRuntimeSession, "run", broken)
    assert main(["parity", str(bundle_path), "--backends", "onnxruntime", "openvino", "--precisions", "fp32"]) == 1
    printed = capsys.readouterr().out
    assert "failed: out of" in printed and "7 of 8 within tolerance" in printed


def test_doctor_lists_every_backend(capsys):
    from cstm.runtime.backends import MODULES

    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in MODULES)


def test_the_command_is_installed():
    done = subprocess.run(
        [sys.executable, "-m", "cstm.commands.main", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("cstm 0.")


def test_usage_errors_exit_with_two(capsys):
    for arguments in ([], ["segment"], ["segment", "v.mp4", "s", "--every", "0"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2


def test_verbose_tells_what_was_passed_over_and_chosen(bundle_path, folder):
    """In a process of its own: it sets the process's log up."""
    command = [sys.executable, "-m", "cstm.commands.main", "segment", str(DEMO_VIDEO), SENTENCE, "--every", "35"]
    command += ["--bundle", str(bundle_path), "--masks", "m.json"]
    quiet, verbose = (
        subprocess.run([*command, *more], capture_output=True, text=True).stderr.splitlines() for more in ([], ["-v"])
    )
    assert not [line for line in quiet if "cstm.runtime" in line]
    assert [line for line in verbose if "cstm.runtime.opening: passed over tensorrt" in line]
    assert [line for line in verbose if "cstm.runtime.segmenter: " in line and "chosen" in line]


@pytest.mark.parametrize("words", [["-dog"], ["the dog", "-cat"]])
def test_a_word_that_begins_with_a_dash_needs_two(words, capsys):
    with pytest.raises(SystemExit):
        main(["segment", "video.mp4", *words])
    assert "put -- before the first of them" in capsys.readouterr().err


def test_masks_may_go_to_standard_output(bundle_path, folder):
    command = [sys.executable, "-m", "cstm.commands.main", "segment", str(DEMO_VIDEO), SENTENCE, "--every", "35"]
    command += ["--bundle", str(bundle_path), "--masks", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["frames"]) == 2
    assert "2 frames on" in done.stderr
    assert list(folder.iterdir()) == []
