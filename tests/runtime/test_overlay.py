import numpy as np
import pytest

from cstm.runtime.overlay import Overlay
from cstm.runtime.paint import COLOURS


@pytest.fixture
def scene():
    image = np.full((240, 320, 3), 100, np.uint8)
    masks = np.zeros((2, 240, 320), bool)
    masks[0, 20:60, 20:60] = True
    masks[1, 20:60, 200:260] = True
    return image, masks


def test_each_mask_has_its_colour_and_the_rest_stays(scene):
    image, masks = scene
    drawn = Overlay(["a", "b"]).draw(image, masks)
    assert (image == 100).all(), "the frame itself must not change"
    for index, (y, x) in enumerate([(40, 40), (40, 230)]):
        expected = 100 * 0.5 + np.array(COLOURS[index]) * 0.5
        np.testing.assert_allclose(drawn[y, x], expected, atol=1)
    np.testing.assert_array_equal(drawn[20, 20], COLOURS[0])
    assert (drawn[100, 100] == 100).all()
    legend = drawn[200:, :160]
    assert (legend > 200).any() and (legend < 80).any()


def test_the_note_is_a_banner(scene):
    image, masks = scene
    plain, noted = Overlay(["a"]).draw(image, masks[:1]), Overlay(["a"], "UNTRAINED").draw(image, masks[:1])
    assert (plain[:5] == 100).all()
    assert noted[:5, :, 0].mean() > 120 and noted[:5, :, 1].mean() < 60


@pytest.mark.parametrize("size", [(240, 320), (33, 47), (8, 8)])
@pytest.mark.parametrize("sentences", [["x"], ["a very long sentence " * 40], [f"actor {i}" for i in range(30)]])
def test_any_size_and_any_number_of_sentences(size, sentences):
    image = np.zeros((*size, 3), np.uint8)
    masks = np.ones((len(sentences), *size), bool)
    drawn = Overlay(sentences, "note").draw(image, masks)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8


def test_the_legend_leaves_most_of_the_frame_free():
    image = np.full((240, 320, 3), 255, np.uint8)
    drawn = Overlay([f"actor {i}" for i in range(30)]).draw(image, np.zeros((30, 240, 320), bool))
    assert (drawn[:130] == 255).all()


def test_no_filling_hides_an_outline(scene):
    image, masks = scene
    masks[1] = True
    assert (Overlay(["a", "b"]).draw(image, masks)[20, 20:60] == COLOURS[0]).all()


def test_long_sentences_go_on_in_the_next_line():
    image = np.full((240, 320, 3), 255, np.uint8)
    none = np.zeros((1, 240, 320), bool)
    short, long = (Overlay([s]).draw(image, none) for s in ("a dog", "a dog that runs after a ball on the grass " * 2))
    assert (long < 255).any(axis=(1, 2)).sum() > (short < 255).any(axis=(1, 2)).sum()


def test_who_is_not_seen_is_an_outline_and_said(scene):
    image, masks = scene
    painter = Overlay(["a", "b"])
    all_seen, one, again = (painter.draw(image, masks, np.array(seen)) for seen in ([1, 1], [1, 0], [1, 1]))
    np.testing.assert_array_equal(all_seen, Overlay(["a", "b"]).draw(image, masks))
    np.testing.assert_array_equal(all_seen, again)
    assert (one[40, 230] == 100).all() and (one[20, 200:260] == COLOURS[1]).all()
    np.testing.assert_array_equal(one[:100, :100], all_seen[:100, :100])
    assert (one[180:] != 100).any(2).sum() > (all_seen[180:] != 100).any(2).sum(), "a wider legend"
