"""The loop: it learns, resumes bit for bit, stops on NaN with its checkpoint kept, and says what is wrong."""

import csv
import itertools

import pytest
import torch

from cstm.data.vocabulary import wordpiece_tokenizer
from cstm.errors import CheckpointError, RequestError
from cstm.models.checkpoint import load_checkpoint
from cstm.models.config import CSTMConfig
from cstm.models.cstm import CSTM
from cstm.runtime.text import SentenceReader
from cstm.training.batches import SpriteBatches
from cstm.training.options import TrainOptions
from cstm.training.precision import keep_float32
from cstm.training.state import Average
from cstm.training.trainer import DivergedError, Trainer

SMALL = {"size": 64, "transformer_layers": 1, "spatial_width": 0.125, "temporal_width": 0.125, "decoder_width": 16}


class Repeated:
    """The same few batches for ever, so that little is to be learnt."""

    def __init__(self, count: int = 2):
        made = SpriteBatches(seed=0, batch=2, config=CSTMConfig.from_preset("tiny", size=64))
        self.batches = [made[n] for n in range(count)]

    def __getitem__(self, number):
        return self.batches[number % len(self.batches)]


@pytest.fixture(scope="module")
def batches():
    return Repeated()


@pytest.fixture
def make(batches, tmp_path):
    def trainer(out: str, **changes) -> Trainer:
        config = CSTMConfig.from_preset("tiny", **SMALL)
        tokenizer = tmp_path / "tokenizer.json"
        wordpiece_tokenizer().save(str(tokenizer))
        torch.manual_seed(0)
        small = {"steps": 6, "batch": 2, "check": 2, "held_out": 2, "workers": 0, "warmup": 2, "threads": 1}
        options = TrainOptions(**small | {"precision": "fp32"} | changes)
        return Trainer(CSTM(config), batches, batches, SentenceReader(config, tokenizer), options, tmp_path / out)

    return trainer


def test_what_is_frozen_stays_as_it_is_statistics_included(make, tmp_path):
    trainer = make("frozen", freeze="encoders.spatial.stages,text", steps=2, ema=0.0)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer()
    after = trainer.model.state_dict()
    for name in before:
        still = name.startswith(("encoders.spatial.stages.", "text."))
        assert after[name].equal(before[name]) or not still, name
    assert not after["encoders.spatial.cmam.0.mix.0.weight"].equal(before["encoders.spatial.cmam.0.mix.0.weight"])


@pytest.mark.slow
def test_a_resumed_run_ends_bit_for_bit_where_an_unbroken_one_does(make, tmp_path):
    make("whole")()
    make("broken")(until=2)
    torch.rand(100)  # another state of the generator, as after a restart
    resumed = make("broken")
    resumed.resume()
    resumed()
    whole, broken = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "broken"))
    assert whole["step"] == broken["step"] == 6
    for part in ("model", "average"):
        assert whole[part].keys() == broken[part].keys()
        assert all(torch.equal(whole[part][name], broken[part][name]) for name in whole[part])
    rows = [list(csv.reader((tmp_path / name / "metrics.csv").open())) for name in ("whole", "broken")]
    assert [[row[0], *row[2:]] for row in rows[0]] == [[row[0], *row[2:]] for row in rows[1]]


def test_what_is_saved_is_a_trained_checkpoint_with_its_options(make):
    model = load_checkpoint(make("run", steps=2)())
    assert model.trained
    assert model.provenance["updates"] == 2
    assert model.provenance["rate"] == TrainOptions().rate


def test_what_is_saved_follows_the_weights(make):
    """The running mean: between the first weights and the last, and never the first."""
    trainer = make("run", steps=4, ema=0.5)
    first = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items() if tensor.is_floating_point()}
    saved = load_checkpoint(trainer()).state_dict()
    last = trainer.model.state_dict()
    moved = [name for name in first if not first[name].equal(last[name])]
    assert len(moved) > 0.9 * len(first)
    for name in moved:
        assert (saved[name] - last[name]).norm() < (first[name] - last[name]).norm(), name
        assert not saved[name].equal(last[name]), name


def test_an_update_is_as_the_options_say(make):
    trainer = make("run", text_rate=0.25, decay=0.125, clip=1e-3)
    trainer(until=1)
    others, text = trainer.optimizer.param_groups
    assert text["lr"] == pytest.approx(0.25 * others["lr"]) and others["lr"] > 0
    assert others["weight_decay"] == text["weight_decay"] == 0.125
    weight = trainer.model.decoder.merge[0][0].weight
    weight.grad.fill_(1e9)  # as if it were of the update before
    trainer(until=2)
    norm = torch.stack([p.grad.norm() for p in trainer.model.parameters() if p.grad is not None]).norm()
    assert norm == pytest.approx(1e-3, rel=1e-3)
    assert weight.grad.std() > 0.1 * weight.grad.abs().mean(), "gradients of two updates were added"


def test_what_is_validated_is_the_running_mean_on_whole_pixels(make, batches):
    trainer = make("run")
    samples = batches[0]
    pixels, _, masks = trainer._moved(trainer.tensors(samples))
    assert pixels.max() <= 1 and pixels.max() * 255 == max(sample.clip.max() for sample in samples)
    for model, bias in ((trainer.model, -1e4), (trainer.average.model, 1e4)):
        torch.nn.init.constant_(model.decoder.heads[-1][-1].bias, bias)
    assert trainer.validate() == pytest.approx(masks.float().mean().item())  # all of each frame is in


def test_the_running_mean_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.0)
    average = Average(model, keep=0.75)
    torch.nn.init.constant_(model.weight, 5.0)
    average.update(model, step=1000)
    assert average.model.weight.item() == 0.75 * 1 + 0.25 * 5
    average.update(model, step=0)  # early on it keeps a tenth
    assert average.model.weight.item() == pytest.approx(0.1 * 2 + 0.9 * 5)


@pytest.mark.slow
def test_it_learns_a_few_clips_by_heart(make, tmp_path):
    make("run", steps=60, check=30, rate=3e-3, ema=0.9, warmup=10)()
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert float(rows[-1]["loss"]) < 0.6 * float(rows[0]["loss"])


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(make, tmp_path, monkeypatch):
    from cstm.training import trainer as module

    real, calls = module.mask_loss, itertools.count()
    monkeypatch.setattr(module, "mask_loss", lambda *a: real(*a) * (float("nan") if next(calls) >= 3 else 1))
    run = make("run")
    with pytest.raises(DivergedError, match=r"update 3: the loss is not finite.*--rate"):
        run()
    kept = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.state_dict().values())
    assert run.done == 3


def test_an_update_whose_gradient_is_not_finite_is_left_out_and_many_end_the_run(make, monkeypatch):
    run = make("run", steps=40, check=100)
    before = {name: tensor.clone() for name, tensor in run.model.named_parameters()}
    hook = run.model.decoder.heads[5][0].weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(DivergedError, match="gradient of 20 updates in a row"):
        run()
    assert all(torch.equal(before[name], tensor) for name, tensor in run.model.named_parameters())
    hook.remove()


def test_resuming_refuses_other_options_and_absent_or_broken_runs(make, tmp_path):
    make("run", steps=2)()
    with pytest.raises(RequestError, match="another rate"):
        make("run", steps=2, rate=1e-4).resume()
    with pytest.raises(CheckpointError, match="no run to resume"):
        make("other").resume()
    (tmp_path / "run" / "state.pt").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="cannot be read"):
        make("run", steps=2).resume()


def test_half_precision_needs_a_gpu(make):
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(RequestError, match="GPU only"):
        make("run", precision="fp16")


def test_the_parts_that_overflow_in_bfloat16_on_the_cpu_compute_in_float32():
    model = CSTM(CSTMConfig.from_preset("tiny", **SMALL))
    keep_float32(model, "cpu")
    seen = {}
    for index, stage in enumerate(model.encoders["temporal"].stages):
        convolution = next(m for m in stage.modules() if isinstance(m, torch.nn.Conv3d))
        convolution.register_forward_hook(lambda _m, _i, out, index=index: seen.__setitem__(index, out.dtype))
    text = torch.ones(1, 24, dtype=torch.int64), torch.ones(1, 24, dtype=torch.int64)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        model.eval()(torch.rand(1, 3, 8, 64, 64), text)
    assert seen == {0: torch.bfloat16, 1: torch.bfloat16, 2: torch.bfloat16, 3: torch.float32, 4: torch.float32}
    assert not any("forward" in vars(module) for module in model.modules())
