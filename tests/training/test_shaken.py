"""A moving part of a real video: the mask stays on the actor, and the actor in the picture."""

import numpy as np
import pytest

pytest.importorskip("cv2")

from cstm.data.sample import Reference, Sample
from cstm.training.shaken import shaken


@pytest.fixture
def sample():
    """A white actor in front of black, in a video wider than high; the clip is square."""
    mask = np.zeros((60, 120), bool)
    mask[20:40, 30:60] = True
    clip = np.zeros((3, 8, 96, 96), np.uint8)
    clip[:, :, 32:64, 24:48] = 255
    return Sample(Reference("v", 0, "a dog"), clip, mask)


def test_the_mask_fits_the_target_frame(sample):
    for seed in range(20):
        found = shaken(sample, 64, np.random.default_rng(seed))
        assert found.clip.shape == (3, 8, 64, 64) and found.clip.dtype == np.uint8 and found.mask.shape == (64, 64)
        bright = found.clip[0, 4] > found.clip[0, 4].max() / 2
        assert (bright & found.mask).sum() > 0.85 * (bright | found.mask).sum() > 0


def test_the_camera_moves_and_no_two_are_alike(sample):
    one, other, again = (shaken(sample, 64, np.random.default_rng(seed)) for seed in (0, 1, 0))
    assert (one.clip[:, 0] != one.clip[:, 7]).any() and (one.clip != other.clip).any()
    np.testing.assert_array_equal(one.clip, again.clip)


def test_a_clip_without_the_actor_is_shaken_too(sample):
    found = shaken(Sample(sample.reference, sample.clip, np.zeros_like(sample.mask)), 64, np.random.default_rng(0))
    assert not found.mask.any()
