"""The command `cstm train`, as a user calls it."""

import csv
import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cstm.commands.main import main
from cstm.data.sprites.options import SpriteOptions
from cstm.data.sprites.write import write_sprites
from cstm.models.checkpoint import load_checkpoint, read_metadata, read_tokenizer, save_checkpoint
from cstm.models.config import CSTMConfig
from cstm.training.options import TrainOptions
from cstm.training.run import NetworkChoice, _rebuilt, network

QUICK = ["--size", "64", "--steps", "2", "--batch", "2", "--held-out", "2", "--workers", "0", "--threads", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(out), *QUICK, "--streams", "spatial", "--precision", "fp32"]) == 0
    return out


def test_a_run_leaves_all_that_its_reader_needs(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"checkpoint.safetensors", "state.pt", "metrics.csv", "curve.png", "options.json", "tensorboard"} <= names
    config, provenance = read_metadata(trained / "checkpoint.safetensors")
    assert config.size == 64
    assert config.streams == ("spatial",)
    assert config.lgfs_stages == ()
    assert provenance["kind"] == "trained"
    assert "[CLS]" in read_tokenizer(trained / "checkpoint.safetensors")
    assert [row["step"] for row in csv.DictReader((trained / "metrics.csv").open())] == ["2"]


def test_a_folder_that_holds_a_run_is_not_written_over(trained, capsys):
    before = (trained / "state.pt").read_bytes()
    assert main(["train", str(trained), *QUICK]) == 2
    assert "--resume" in capsys.readouterr().err
    assert (trained / "state.pt").read_bytes() == before


def test_a_finished_checkpoint_is_written_over_by_force_alone(trained, tmp_path, capsys):
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(before := (trained / "checkpoint.safetensors").read_bytes())
    words = ["train", str(tmp_path), *QUICK, "--streams", "spatial"]
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err and file.read_bytes() == before
    assert main([*words, "--force"]) == 0
    assert file.read_bytes() != before


def test_a_bundle_is_not_trained_into(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{}")
    assert main(["train", str(tmp_path), *QUICK]) == 2
    error = capsys.readouterr().err
    assert "is a bundle" in error and "--force" in error
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_run_written_over_cannot_be_gone_on_with(tmp_path, monkeypatch):
    """Ended before its first check, the new run has no state of its own; the old one's would pass for it."""
    (tmp_path / "state.pt").write_bytes(b"of another run")
    monkeypatch.setattr("cstm.training.run.Trainer.__call__", lambda *_, **__: None)
    assert main(["train", str(tmp_path), *QUICK, "--force"]) == 0
    assert not (tmp_path / "state.pt").exists()


def test_a_run_begins_with_another_ones_weights(trained, tmp_path):
    assert (
        main(
            ["train", str(tmp_path / "next"), *QUICK, "--size", "96", "--from", str(trained / "checkpoint.safetensors")]
        )
        == 0
    )
    model = load_checkpoint(tmp_path / "next" / "checkpoint.safetensors")
    assert model.config.size == 96
    assert model.tokenizer == read_tokenizer(trained / "checkpoint.safetensors")
    assert model.provenance["from"].endswith("checkpoint.safetensors")


def test_a_run_with_fewer_streams_keeps_what_it_shares(small_checkpoint):
    model = network(NetworkChoice(start=small_checkpoint, streams=("spatial",)), TrainOptions(steps=1))
    whole = load_checkpoint(small_checkpoint).state_dict()
    assert (model.config.streams, model.config.lgfs_stages) == (("spatial",), ())
    own = model.state_dict()
    assert all(own[name].equal(whole[name]) for name in own if not name.startswith("fusion."))
    assert not any("temporal" in name for name in own)


def test_another_preset_takes_over_all_but_the_spatial_stream(small_checkpoint):
    start = load_checkpoint(small_checkpoint)
    choice = NetworkChoice(start=small_checkpoint, preset="small")
    config = dataclasses.replace(start.config, preset="small", spatial_backbone="efficientnet_lite0")
    model = _rebuilt(start, config, but="encoders.spatial.")
    whole, own = start.state_dict(), model.state_dict()
    assert model.config.spatial_backbone == "efficientnet_lite0" and model.tokenizer == start.tokenizer
    assert all(own[name].equal(whole[name]) for name in own if not name.startswith("encoders.spatial."))
    assert not model.encoders["spatial"].cmam[0].gate.weight.any(), "a new CMAM begins as the identity"
    assert network(choice, TrainOptions(steps=1)).config == CSTMConfig.from_preset("small")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--freeze", "encoders.visual"], "no such part"),
        (["--preset", "released"], "train paper, tiny or small"),
        (["--data", "/nowhere"], "no such folder"),
        (["--tokenizer", __file__], "not a tokenizer.json"),
        (["--batch", "3", "--processes", "2"], "multiple of processes"),
        (["--streams", "spatial", "--lgfs", "5"], "LGFS weighs two"),
        (["--until", "0"], "must be 1 or more"),
        (["--seed", "-1"], "must not be negative"),
        (["--seed", str(1 << 63)], "below 2^63"),
        (["--resume"], "no run to resume"),
    ],
)
def test_what_cannot_be_trained_is_one_line(words, message, tmp_path, capsys):
    assert main(["train", str(tmp_path / "run"), *QUICK, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_weights_learnt_with_other_words_or_another_network_are_not_taken_as_they_are(trained, tmp_path, capsys):
    model = load_checkpoint(trained / "checkpoint.safetensors")
    model.tokenizer = None
    save_checkpoint(model, tmp_path / "old.safetensors")
    words = ["train", str(tmp_path / "run"), *QUICK, "--from", str(tmp_path / "old.safetensors")]
    assert main(words) == 2
    assert "--tokenizer" in capsys.readouterr().err
    assert main([*words, "--no-cmam"]) == 2
    assert "leave out --no-cmam" in capsys.readouterr().err


def test_resuming_another_network_is_refused(trained, capsys):
    assert main(["train", str(trained), *QUICK, "--precision", "fp32", "--streams", "temporal", "--resume"]) == 2
    assert "another network" in capsys.readouterr().err


def test_an_error_in_a_worker_is_one_line(tmp_path, capsys):
    root = write_sprites(tmp_path / "set", SpriteOptions(clips=4, size=64))
    table = root / "Release" / "videoset.csv"
    rows = list(csv.reader(table.open()))
    for row in rows[:2]:
        row[-1] = "0"  # two for training
    table.write_text("".join(",".join(row) + "\n" for row in rows))
    for row in rows[:2]:
        (root / "Release" / "clips320H" / f"{row[0]}.mp4").write_bytes(b"broken")
    words = ["train", str(tmp_path / "run"), *QUICK, "--streams", "spatial", "--data", str(root), "--workers", "1"]
    assert main(words) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert ".mp4" in last
    assert "Traceback" not in last


def test_a_sentence_that_cannot_be_read_is_named_before_training(tmp_path, capsys):
    root = write_sprites(tmp_path / "set", SpriteOptions(clips=3, size=64))
    table = root / "Release" / "videoset.csv"
    table.write_text(
        "".join(f"{line[:-1]}0\n" if i < 2 else f"{line}\n" for i, line in enumerate(table.read_text().split()))
    )
    file = next(root.rglob("a2d_annotation.txt"))
    header, first, *rest = file.read_text().splitlines()
    video, instance, _ = first.split(",", 2)
    file.write_text("\n".join([header, f"{video},{instance},{'the dog ' * 40}", *rest]) + "\n")
    assert main(["train", str(tmp_path / "run"), *QUICK, "--data", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.strip().startswith(f"error: {file}: video {video}, instance {instance}: sentence 'the dog the dog")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "cstm.commands.main",
        "train",
        str(out),
        *QUICK,
        "--streams",
        "spatial",
        "--processes",
        "2",
        "--precision",
        "fp32",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert load_checkpoint(out / "checkpoint.safetensors").provenance["processes"] == 2


MEAN = """
import sys, torch
from cstm.console import run_command
from cstm.training.parallel import in_processes

def work(place):
    parameter = torch.nn.Parameter(torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last))
    place_value = 1.0 + 2 * place.number
    parameter.grad = (torch.arange(96.0).reshape(2, 3, 4, 4) * place_value).to(memory_format=torch.channels_last)
    loss = place.mean_gradients([parameter], torch.tensor(place_value))
    assert loss.item() == 2.0
    assert torch.equal(parameter.grad, torch.arange(96.0).reshape(2, 3, 4, 4) * 2)
    return 0

if __name__ == "__main__":
    sys.exit(run_command(lambda: in_processes(2, work), signals=True))
"""


@pytest.mark.slow
def test_gradients_and_losses_are_averaged_over_processes(tmp_path):
    (tmp_path / "mean.py").write_text(MEAN)
    ended = subprocess.run([sys.executable, str(tmp_path / "mean.py")], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr


SLEEP = """
import os, pathlib, sys, time
from cstm.console import run_command
from cstm.training.parallel import in_processes

def work(place):
    pathlib.Path(sys.argv[1], f"pid-{place.number}").write_text(str(os.getpid()))
    time.sleep(120)

if __name__ == "__main__":
    sys.exit(run_command(lambda: in_processes(2, work), signals=True))
"""


@pytest.mark.slow
def test_a_run_that_is_ended_leaves_no_process_behind(tmp_path):
    (tmp_path / "sleep.py").write_text(SLEEP)
    run = subprocess.Popen([sys.executable, str(tmp_path / "sleep.py"), str(tmp_path)])
    wait_until(lambda: len([p for p in tmp_path.glob("pid-*") if p.read_text()]) == 2)
    run.terminate()
    assert run.wait(timeout=60) == 128 + signal.SIGTERM
    for file in tmp_path.glob("pid-*"):
        wait_until(lambda file=file: not Path(f"/proc/{file.read_text()}").exists())


def wait_until(happened, seconds: float = 60):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
