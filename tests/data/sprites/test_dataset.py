"""Clips and samples made from three numbers."""

import re

import numpy as np
import pytest

from cstm.data.sample import NON_TRIVIAL
from cstm.data.sprites.dataset import SMALLEST, VISIBLE, clear_enough, clip_times, make_clip, stream
from cstm.data.sprites.options import KINDS, SPLITS
from cstm.data.sprites.sentences import OWN_VERBS, VERBS
from cstm.errors import RequestError

SIZE, FRAMES, TARGET = 64, 8, 4


def clip_of(number, split="train", seed=0, kind=None, size=SIZE):
    return make_clip(split, seed, number, size, clip_times(FRAMES, 2), (TARGET,), kind)


@pytest.fixture(scope="module")
def clips():
    return [clip_of(number) for number in range(60)]


def same(one, other):
    pixels = all((getattr(one, name) == getattr(other, name)).all() for name in ("frames", "masks", "whole"))
    return pixels and one.sentences == other.sentences and one.scene == other.scene


@pytest.mark.parametrize("split", SPLITS)
def test_a_clip_is_made_from_split_seed_and_number_alone(split):
    clip = clip_of(3, split)
    clip_of(4, split)
    assert same(clip, clip_of(3, split))


def test_other_numbers_make_other_clips():
    clip = clip_of(3)
    for other in (clip_of(4), clip_of(3, seed=1), clip_of(3, "test"), clip_of(3, "test-style")):
        assert (clip.frames[TARGET] != other.frames[TARGET]).any() and clip.scene != other.scene


def test_the_size_of_the_frames_changes_no_scene():
    small, large = clip_of(5), clip_of(5, size=96)
    assert small.scene == large.scene and large.frames.shape == (FRAMES, 96, 96, 3)


def test_samples_are_the_same_again():
    one, other = stream("train", 0, 7, SIZE), stream("train", 0, 7, SIZE)
    assert [sample.reference for sample in one] == [sample.reference for sample in other]
    for a, b in zip(one, other, strict=True):
        assert (a.clip == b.clip).all() and (a.mask == b.mask).all()
    assert (stream("train", 0, 8, SIZE)[0].clip != one[0].clip).any()


def test_samples_are_what_the_network_reads():
    clip = clip_of(7)
    samples = stream("train", 0, 7, SIZE, FRAMES, sentences=5)
    assert len(samples) == len(clip.sentences)
    for sample in samples:
        assert sample.clip.shape == (3, FRAMES, SIZE, SIZE) and sample.clip.dtype == np.uint8
        assert sample.clip.flags["C_CONTIGUOUS"]
        index, actor = int(sample.reference.instance), clip.scene.actors[int(sample.reference.instance)]
        assert (sample.clip == clip.frames.transpose(3, 0, 1, 2)).all()
        assert sample.mask.dtype == bool and (sample.mask == clip.masks[0, index]).all()
        assert sample.reference.sentence == clip.sentences[index].sentence
        assert (sample.reference.actor, sample.reference.action) == (actor.kind, actor.action)
        assert sample.reference.difficulty == clip.difficulty(index)


def test_a_stream_gives_as_many_sentences_as_asked():
    for number in range(12):
        described = len(clip_of(number).sentences)
        for most in (1, 2):
            samples = stream("train", 0, number, SIZE, sentences=most)
            assert len({sample.reference.instance for sample in samples}) == len(samples) == min(described, most)


def test_the_target_is_in_the_middle_of_the_times():
    assert clip_times(8, 2).tolist() == [-8, -6, -4, -2, 0, 2, 4, 6]
    assert clip_times(8, 3).tolist() == [-12, -9, -6, -3, 0, 3, 6, 9]
    assert clip_times(1, 2).tolist() == [0]


def test_referents_can_be_seen(clips):
    for clip in clips:
        assert clip.sentences
        for actor in clip.sentences:
            shown = clip.masks[0, actor].sum()
            assert shown >= 0.45 * clip.whole[0, actor] and shown >= 0.008 * SIZE * SIZE


def test_clear_enough_asks_for_a_share_of_the_actor_and_of_the_frame():
    assert (VISIBLE, SMALLEST) == (0.45, 0.008)
    shown, whole = (450, 449, 80, 79), np.array([1000, 1000, 80, 79])
    masks = np.stack([np.arange(10_000).reshape(100, 100) < count for count in shown])
    assert clear_enough(masks, whole).tolist() == [True, False, True, False]
    assert not clear_enough(np.zeros((1, 10, 10), bool), np.array([0]))[0]


def test_half_of_the_referents_have_a_double():
    now = np.array([0])
    made = [make_clip("train", 0, number, 48, now, (0,)) for number in range(200)]
    hard = [clip.difficulty(actor) == NON_TRIVIAL for clip in made for actor in clip.sentences]
    assert len(hard) > 400 and np.mean(hard) >= 0.5


def test_difficulty_is_whether_somebody_shares_the_class(clips):
    for clip in clips:
        kinds = [actor.kind for actor in clip.scene.actors]
        for index, kind in enumerate(kinds):
            shared = kinds.count(kind) > 1
            assert (clip.difficulty(index) == NON_TRIVIAL) == (index in clip.rivals()) == shared


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "free"])
def test_both_doubles_of_a_kind_are_described(kind):
    for number in range(12):
        clip = clip_of(number, kind=kind)
        assert clip.scene.kind == kind and len(clip.rivals()) == 2
        assert set(clip.rivals()) <= clip.sentences.keys()
        assert len({clip.sentences[actor].sentence for actor in clip.rivals()}) == 2


def test_several_frames_may_be_labelled():
    times = np.arange(-4, 5)
    clip = make_clip("train", 0, 2, SIZE, times, (0, 4, 8))
    assert clip.masks.shape[0] == clip.whole.shape[0] == 3
    shown = clip.masks[1].sum((1, 2))
    assert all(shown[actor] >= SMALLEST * SIZE * SIZE for actor in clip.sentences)


def test_another_split_is_refused():
    with pytest.raises(RequestError, match="validation"):
        clip_of(0, "validation")


def test_only_their_action_tells_doubles_of_that_kind_apart():
    for number in range(12):
        clip = clip_of(number, kind="action")
        for index in clip.rivals():
            actor, sentence = clip.scene.actors[index], clip.sentences[index].sentence
            verbs = OWN_VERBS.get((actor.kind, actor.action), VERBS[actor.action])
            assert any(verb in sentence for verb in verbs), sentence
            assert clip.sentences[index].lasting and not re.search("big|large|small|little", sentence), sentence
