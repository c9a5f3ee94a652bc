"""Masks that are moved along."""

import numpy as np
import pytest

from cstm.runtime.live.motion import moved

RANDOM = np.random.default_rng(0)


def scene(row, column, size=64):
    """A patch at a place before a still background: uint8 [3,R,R], and its mask at twice the size."""
    background = np.random.default_rng(1).integers(0, 256, (3, size, size), dtype=np.uint8)
    patch = np.random.default_rng(2).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    background[:, row : row + 16, column : column + 16] = patch
    mask = np.zeros((2 * size, 2 * size), bool)
    mask[2 * row : 2 * row + 32, 2 * column : 2 * column + 32] = True
    return background, mask


@pytest.mark.parametrize("step", [(0, 0), (3, -5), (-7, 4), (0, 9)])
def test_a_mask_follows_what_it_covers(step):
    before, mask = scene(24, 24)
    after, expected = scene(24 + step[0], 24 + step[1])
    assert (moved(mask[None], before, after)[0] == expected).all()


def test_each_mask_follows_its_own_and_an_empty_one_stays_empty():
    before, mask = scene(24, 24)
    after, expected = scene(20, 30)
    still = np.zeros_like(mask)
    still[4:40, 4:40] = True
    found = moved(np.stack([mask, still, np.zeros_like(mask)]), before, after)
    assert (found == np.stack([expected, still, np.zeros_like(mask)])).all()


def test_what_leaves_the_frame_is_cut():
    before, mask = scene(24, 46)
    after, _ = scene(24, 48)
    assert moved(mask[None], before, after)[0].sum() == mask.sum()
    shifted = moved(np.ones((1, 128, 128), bool), before, np.roll(before, 5, 2))
    assert shifted[0, :, :10].any() in (True, False) and shifted.shape == (1, 128, 128)
