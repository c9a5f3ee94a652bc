"""Batches: the same by number in every run, and mirroring that keeps the sentence true."""

import numpy as np
import pytest
import torch

from cstm.data.sample import Reference, Sample
from cstm.models.config import CSTMConfig
from cstm.runtime.text import Query
from cstm.training.batches import DatasetBatches, HeldOut, SpriteBatches, Tensors, Together, loader, mirrored

CONFIG = CSTMConfig.from_preset("tiny", size=64)


class Fake:
    """A dataset of seven references."""

    references = tuple(Reference(f"video{i}", i, "the dog on the left") for i in range(7))

    def load(self, reference):
        clip = np.full((3, 8, 4, 4), reference.frame, np.uint8)
        return Sample(reference, clip, np.eye(4, dtype=bool))


@pytest.mark.parametrize(
    ("sentence", "other"),
    [
        ("the dog on the left", "the dog on the right"),
        ("Left person walking right", "Right person walking left"),
        ("leftmost bird, leftover food", "rightmost bird, leftover food"),
        ("a bright car", "a bright car"),
    ],
)
def test_a_mirrored_sample_swaps_left_and_right_in_pixels_and_words(sentence, other):
    clip = np.arange(3 * 8 * 4 * 4, dtype=np.uint8).reshape(3, 8, 4, 4)
    mask = np.zeros((5, 6), bool)
    mask[1, 0] = True
    turned = mirrored(Sample(Reference("v", 0, sentence), clip, mask))
    assert turned.reference.sentence == other
    np.testing.assert_array_equal(turned.clip, clip[..., ::-1])
    assert turned.mask[1, 5]
    assert turned.mask.sum() == 1


def test_every_epoch_holds_every_reference_once_in_another_order():
    batches = DatasetBatches(Fake(), seed=3, batch=7)
    epochs = [[sample.reference.video for sample in batches[n]] for n in range(3)]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_batch_is_the_same_in_every_run_wherever_it_starts():
    first, second = DatasetBatches(Fake(), 0, 4), DatasetBatches(Fake(), 0, 4)
    ahead = [first[n] for n in range(5)][4]
    for one, other in zip(ahead, second[4], strict=True):
        assert one.reference == other.reference
        np.testing.assert_array_equal(one.clip, other.clip)


def test_several_sources_share_a_batch():
    pytest.importorskip("cv2")
    sprites, real = SpriteBatches(0, 3, CONFIG, absent=0.5), DatasetBatches(Fake(), 0, 2, shake=CONFIG.size)
    batch = Together(sprites, real)[1]
    assert [sample.clip.shape for sample in batch] == [(3, 8, 64, 64)] * 5
    assert [sample.reference for sample in batch[:3]] == [sample.reference for sample in sprites[1]]


def test_sprite_batches_are_full_differ_and_repeat():
    batches = SpriteBatches(seed=0, batch=4, config=CONFIG)
    one, again, other = batches[3], SpriteBatches(0, 4, CONFIG)[3], batches[4]
    assert len(one) == 4
    assert [s.reference for s in one] == [s.reference for s in again]
    np.testing.assert_array_equal(one[0].clip, again[0].clip)
    assert {s.reference.video for s in one}.isdisjoint(s.reference.video for s in other)


def test_held_out_references_are_spread_over_the_dataset_and_come_as_they_are():
    held_out = HeldOut(Fake(), batch=2, count=3)
    assert [[s.reference.video for s in held_out[n]] for n in range(3)] == [["video0", "video2"], ["video4"], []]
    assert len(HeldOut(Fake(), batch=100, count=100)[0]) == 7
    assert all(s.reference.sentence == "the dog on the left" for s in HeldOut(Fake(), 7, 7)[0])


def test_about_half_of_a_dataset_s_samples_are_mirrored_and_the_draw_is_anew_each_time():
    batches = DatasetBatches(Fake(), seed=0, batch=70)
    sides = {(s.reference.video, s.reference.sentence.split()[-1]) for n in range(2) for s in batches[n]}
    assert sides == {(f"video{i}", side) for i in range(7) for side in ("left", "right")}
    share = np.mean([s.reference.sentence.endswith("right") for s in batches[0]])
    assert 0.3 < share < 0.7


def test_sprites_of_another_split_are_others():
    one, other = (SpriteBatches(0, 2, CONFIG, split)[0] for split in ("train", "test"))
    assert any((a.clip != b.clip).any() for a, b in zip(one, other, strict=True))


def reader(sentence):
    return Query(sentence, {"token_ids": np.zeros((1, 3), np.int64)}, (), ())


def test_masks_are_taken_at_the_middle_of_each_pixel_of_the_frames():
    mask = np.zeros((8, 16), bool)
    mask[[1, 3, 5, 7], 2::4] = True
    clip = np.zeros((3, 8, 4, 4), np.uint8)
    _, _, masks = Tensors(reader)([Sample(Reference("v", 0, "dog"), clip, mask)])
    assert masks.shape == (1, 4, 4) and masks.all()


def test_a_loader_draws_from_no_generator_that_dropout_draws_from():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    made = list(loader(HeldOut(Fake(), 2, 4), Tensors(reader), range(2), workers=0))
    assert len(made) == 2
    assert torch.equal(before, torch.get_rng_state())
