import numpy as np
import pytest

from cstm.runtime.paint import COLOURS, colour_of, outline, paint


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def as_defined(image, masks, thickness):
    """Fill every mask by half, then draw every outline: slowly, in floating point, over the whole image."""
    drawn = image.astype(np.float64)
    for index, mask in enumerate(masks):
        drawn[mask] = 0.5 * drawn[mask] + 0.5 * np.array(COLOURS[index % 6])
    for index, mask in enumerate(masks):
        drawn[outline(mask, thickness)] = COLOURS[index % 6]
    return drawn


@pytest.mark.parametrize("thickness", [1, 3])
def test_any_masks_are_painted_as_defined(image, thickness):
    """Overlapping ones, ones at each border, an empty one, a full one, more than there are colours."""
    masks = np.zeros((8, 40, 60), bool)
    masks[0, 5:30, 5:30] = masks[1, 20:35, 20:50] = masks[2, :9, :9] = masks[3, -9:, -9:] = True
    masks[5], masks[6, 17, 33], masks[7] = True, True, np.random.default_rng(1).random((40, 60)) > 0.5
    before = image.copy()
    drawn = paint(image, masks, thickness)
    np.testing.assert_array_equal(image, before)
    assert drawn.dtype == np.uint8
    np.testing.assert_allclose(drawn, as_defined(image, masks, thickness), atol=1)  # 1/2 + 1/4 + …, rounded down
    one = paint(image, masks[:1], thickness)
    np.testing.assert_allclose(one, as_defined(image, masks[:1], thickness), atol=1)


def test_an_image_of_any_memory_layout(image):
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 5:9, 50:] = True
    lying = np.asfortranarray(image)
    np.testing.assert_array_equal(paint(lying, mask, 1), paint(image, mask, 1))
    np.testing.assert_array_equal(paint(image[:, ::-1], mask, 1), paint(image[:, ::-1].copy(), mask, 1))


def test_nothing_found_leaves_the_image(image):
    np.testing.assert_array_equal(paint(image, np.zeros((2, 40, 60), bool), 2), image)


def test_outlines_lie_inside_and_not_along_the_border():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    assert outline(mask).sum() == 24 and outline(mask, 2).sum() == 24 + 16 and not outline(mask, 2)[3:6, 3:6].any()
    assert not outline(np.ones((4, 4), bool), 2).any()
    mask[:, 0] = True  # what goes on beyond the image has no edge there
    assert not outline(mask)[3:6, 0].any() and outline(mask)[3, 7]


def test_colours_begin_anew_after_the_last():
    assert [colour_of(index) for index in (0, 5, 6)] == [COLOURS[0], COLOURS[5], COLOURS[0]]
