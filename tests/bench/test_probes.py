"""The probes on predictors whose answers are known."""

import argparse
import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("cv2")

from cstm.bench import probes
from cstm.commands import probe as command

SIZE, FRAMES, COUNT = 64, 8, 6
TARGET = FRAMES // 2
CONFIG = SimpleNamespace(size=SIZE, frames=FRAMES, stride=2)


def made(kind=None):
    return list(probes.pairs("test", kind, COUNT, CONFIG))


class Fake:
    """Answers with what `choose` makes of a pair and the number of its sentence; keeps the clips it was shown."""

    name = "fake"
    config = CONFIG

    def __init__(self, choose):
        self.choose, self.shown = choose, []
        self.known = {}
        for pair in made() + made("action"):
            for index, sentence in enumerate(pair.sentences):
                self.known[pair.clip[:, TARGET].tobytes(), sentence] = pair, index

    def __call__(self, clips, sentences):
        self.shown.append(clips)
        found = [self.known[c[:, TARGET].tobytes(), s] for c, s in zip(clips, sentences, strict=True)]
        return np.stack([np.where(self.choose(*one), 9.0, -9.0) for one in found])[:, None].astype(np.float32)


def right(pair, index):
    return pair.masks[index]


def wrong(pair, index):
    return pair.masks[1 - index]


def deaf(pair, _):
    return pair.masks[0]


def everybody(pair, _):
    return pair.masks.any(0)


def test_who_listens_finds_its_actor_and_leaves_the_other():
    assert probes.listening(Fake(right), COUNT) == {"own": 1.0, "other": 0.0, "picks": 1.0, "n": 2 * COUNT}
    assert probes.listening(Fake(wrong), COUNT) == {"own": 0.0, "other": 1.0, "picks": 0.0, "n": 2 * COUNT}


def test_who_watches_picks_every_time():
    assert probes.watching(Fake(right), COUNT) == {
        "picks": 1.0, "mean_iou": 1.0, "shuffled_picks": 1.0, "shuffled_mean_iou": 1.0, "n": 2 * COUNT,
    }  # fmt: skip
    assert probes.watching(Fake(wrong), COUNT)["picks"] == 0.0


@pytest.mark.parametrize("choose", [deaf, everybody])
def test_who_does_not_listen_has_chance(choose):
    listened = probes.listening(Fake(choose), COUNT)
    assert listened["own"] == pytest.approx(listened["other"])
    watched = probes.watching(Fake(choose), COUNT)
    # Of two masks of one size, neither is overlapped more.
    assert 0.3 < watched["picks"] == watched["shuffled_picks"] <= 0.5
    assert watched["mean_iou"] < 0.8


def test_who_needs_the_order_of_frames_loses_it_when_they_are_shuffled():
    def watcher(pair, index):
        clips = fake.shown[-1]
        ordered = any((clips[0] == other.clip).all() for other in made("action"))
        return pair.masks[index if ordered else 0]

    fake = Fake(watcher)
    watched = probes.watching(fake, COUNT)
    assert watched["picks"] == 1.0 and watched["shuffled_picks"] == 0.5


def test_pairs_are_two_described_actors_of_one_clip():
    for pair in made():
        assert pair.clip.shape == (3, FRAMES, SIZE, SIZE) and pair.clip.dtype == np.uint8
        assert pair.masks.shape == (2, SIZE, SIZE) and pair.masks.any((1, 2)).all()
        assert not (pair.masks[0] & pair.masks[1]).any()
        assert len(pair.sentences) == 2 and pair.sentences[0] != pair.sentences[1]
    assert len(made()) == COUNT


def test_pairs_are_the_same_again():
    for one, other in zip(made("action"), made("action"), strict=True):
        assert one.sentences == other.sentences and (one.clip == other.clip).all() and (one.masks == other.masks).all()


@pytest.mark.parametrize("frames", [8, 5])
def test_shuffling_keeps_the_target_and_the_set_of_frames(frames):
    pairs = list(probes.pairs("test", "action", COUNT, SimpleNamespace(size=SIZE, frames=frames, stride=2)))
    moved = 0
    for pair, shuffled in zip(pairs, probes._shuffled(iter(pairs)), strict=True):
        assert shuffled.sentences == pair.sentences and (shuffled.masks == pair.masks).all()
        assert (shuffled.clip[:, frames // 2] == pair.clip[:, frames // 2]).all()
        both = [sorted(clip[:, k].tobytes() for k in range(frames)) for clip in (pair.clip, shuffled.clip)]
        assert both[0] == both[1] and shuffled.clip.flags["C_CONTIGUOUS"]
        moved += (shuffled.clip != pair.clip).any()
    assert moved >= COUNT - 1


def test_the_command_line_prints_and_writes_the_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "predictor_of", lambda *_: nullcontext(Fake(right)))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    file = tmp_path / "new" / "figures.json"
    assert command.run(parser.parse_args(["model", "--clips", "2", "--json", str(file)])) == 0
    figures = json.loads(file.read_text())
    assert (
        figures["listening"] == {"own": 1.0, "other": 0.0, "picks": 1.0, "n": 4} and figures["watching"]["picks"] == 1.0
    )
    printed = capsys.readouterr().out
    assert "listening" in printed and "shuffled picks" in printed and "1.000" in printed
