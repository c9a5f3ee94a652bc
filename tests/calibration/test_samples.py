"""Calibration samples: drawn by a seed, and refused where they could only mislead."""

import argparse
import math
from types import SimpleNamespace

import numpy as np
import pytest

from cstm.calibration import samples as samples_module
from cstm.calibration.samples import CalibrationOptions, check_inputs, draw_samples
from cstm.commands.calibration_arguments import add_calibration_arguments, calibration_options
from cstm.errors import CalibrationError, ContractError, RequestError
from cstm.models.config import CSTMConfig
from cstm.models.contract import CLIP, FRAME, WORD_VECTORS, chain_inputs

CONFIG = CSTMConfig.from_preset("tiny", size=64)
GRU = CSTMConfig.from_preset("tiny", size=64, text="gru", vocabulary=0)


def good_inputs(config, count=3):
    rng = np.random.default_rng(0)
    return {s.name: rng.integers(0, 9, s.with_batch(count)).astype(s.dtype) for s in chain_inputs(config)}


def drawn(data="sprites", split="train", **options):
    samples = draw_samples(CalibrationOptions(data=str(data), force=True, **options), CONFIG, split)
    return [(s.reference.video, s.reference.sentence, s.clip.tobytes()) for s in samples]


def test_too_few_samples_are_refused_unless_forced():
    with pytest.raises(CalibrationError, match=r"31 calibration samples: fewer than 32.* take more, or force it"):
        CalibrationOptions(samples=31)
    assert CalibrationOptions(samples=32).samples == 32
    assert CalibrationOptions(samples=1, force=True).samples == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "minmax"}, "'minmax'; choose from max, percentile, entropy"),
        ({"percentile": 50}, "percentile must be above 50"),
        ({"percentile": 100.1}, "at most 100"),
        ({"samples": 0, "force": True}, "samples positive"),
        ({"seed": -1}, "seed >= 0"),
    ],
)
def test_options_without_a_meaning_are_refused(options, said):
    with pytest.raises(RequestError, match=said):
        CalibrationOptions(**options)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["percentile", "samples", "seed"])
def test_figures_without_an_end_are_refused(name, bad):
    with pytest.raises(RequestError, match="percentile must be"):
        CalibrationOptions(**{name: bad, "force": True})


def test_the_command_line_gives_every_option():
    parser = argparse.ArgumentParser()
    add_calibration_arguments(parser)
    assert calibration_options(parser.parse_args([])) == CalibrationOptions()
    line = "--data a2d --samples 7 --seed 3 --method entropy --percentile 99 --force-few"
    assert calibration_options(parser.parse_args(line.split())) == CalibrationOptions("a2d", 7, 3, "entropy", 99, True)


def test_the_seed_chooses_the_samples():
    first = drawn(samples=3)
    assert drawn(samples=3) == first
    assert not set(drawn(samples=3, seed=1)) & set(first)
    assert not set(drawn(samples=3, split="test")) & set(first)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sprites as A2D Sentences: three clips for training, with several sentences each."""
    pytest.importorskip("h5py")
    from cstm.data.sprites.options import SpriteOptions
    from cstm.data.sprites.write import write_sprites

    return write_sprites(tmp_path_factory.mktemp("data") / "a2d", SpriteOptions(clips=3, size=64, split="train"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cache")
def test_samples_of_a_folder_are_of_different_clips_where_there_are_enough(folder):
    for seed in range(4):
        assert len({video for video, *_ in drawn(folder, samples=3, seed=seed)}) == 3
    assert drawn(folder, samples=3, seed=1) == drawn(folder, samples=3, seed=1)
    assert drawn(folder, samples=3, seed=1) != drawn(folder, samples=3, seed=2)
    every = drawn(folder, samples=1000)
    assert 3 < len(every) < 32 and len({video for video, *_ in every}) == 3


@pytest.mark.usefixtures("cache")
def test_a_folder_with_too_few_samples_is_refused(folder):
    with pytest.raises(CalibrationError, match=r"a2d: \d+ samples in split train; 40 are wanted"):
        draw_samples(CalibrationOptions(data=str(folder), samples=40), CONFIG)


def test_as_many_samples_as_show_ranges_are_enough(monkeypatch):
    """More are taken where there are more; fewer than 32 are refused, whatever is wanted."""

    def dataset(count):
        references = [SimpleNamespace(video=str(number)) for number in range(count)]
        return lambda *_: SimpleNamespace(references=references, load=lambda reference: reference.video)

    for count, enough in ((31, False), (32, True), (35, True), (50, True)):
        monkeypatch.setattr(samples_module, "open_dataset", dataset(count))
        options = CalibrationOptions(data="a2d", samples=40)
        if enough:
            assert len(set(draw_samples(options, CONFIG))) == min(count, 40)
        else:
            with pytest.raises(CalibrationError, match="a2d: 31 samples in split train; 40 are wanted"):
                draw_samples(options, CONFIG)


def one_colour(inputs):
    inputs[CLIP][1] = 200


def one_colour_frame(inputs):
    inputs[FRAME][2] = 0


def all_the_same(inputs):
    inputs[CLIP][:] = inputs[CLIP][0]


def not_a_number(inputs):
    inputs[WORD_VECTORS][2, 0, 5] = np.nan


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (one_colour, "1 of 3 clips are of one colour"),
        (one_colour_frame, "1 of 3 frames are of one colour"),
        (all_the_same, "all 3 clips are the same"),
        (not_a_number, "word_vectors holds values that are no numbers"),
    ],
)
def test_inputs_that_cannot_show_ranges_are_refused(spoil, said):
    inputs = good_inputs(GRU)
    check_inputs(inputs, GRU)
    spoil(inputs)
    with pytest.raises(CalibrationError, match=said):
        check_inputs(inputs, GRU)


def test_inputs_of_another_shape_are_refused():
    inputs = good_inputs(CONFIG)
    with pytest.raises(ContractError, match="calibration: clip has shape"):
        check_inputs(inputs | {CLIP: inputs[CLIP][:, :, :4]}, CONFIG)
    with pytest.raises(ContractError, match="calibration: missing"):
        check_inputs({FRAME: inputs[FRAME]}, CONFIG)
