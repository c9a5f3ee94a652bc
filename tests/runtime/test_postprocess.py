import numpy as np
import pytest

from cstm.errors import ContractError
from cstm.runtime.postprocess import masks, probabilities, scores


def test_probabilities_are_the_sigmoid_even_far_out():
    logits = np.array([-1e4, -2, 0, 2, 1e4], np.float32).reshape(1, 1, 1, 5)
    with np.errstate(all="raise", under="ignore"):
        likely = probabilities(logits)
    assert likely.dtype == np.float32
    np.testing.assert_allclose(likely[0, 0], [0, 0.119203, 0.5, 0.880797, 1], atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_an_error(bad):
    with pytest.raises(ContractError, match="not finite"):
        probabilities(np.full((1, 1, 2, 2), bad, np.float32))


def test_the_two_rules():
    likely = np.array([[[0.1, 0.25], [0.3, 0.4]], [[0.1, 0.6], [0.7, 0.9]]], np.float32)
    np.testing.assert_array_equal(masks(likely, (2, 2), "half_max")[0], [[False, True], [True, True]])
    np.testing.assert_array_equal(masks(likely, (2, 2), "probability")[0], np.zeros((2, 2), bool))
    np.testing.assert_array_equal(masks(likely, (2, 2), "probability")[1], [[False, True], [True, True]])


def test_half_max_is_never_empty():
    likely = np.full((1, 4, 4), 1e-6, np.float32)
    assert masks(likely, (9, 7), "half_max").all()


def test_resizing_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    likely = np.random.default_rng(0).random((3, 16, 16), dtype=np.float32)
    for size in ((33, 50), (16, 16), (7, 9)):
        resized = torch.nn.functional.interpolate(torch.from_numpy(likely)[None], size=size, mode="bilinear")[0]
        expected = (resized > 0.5).numpy()
        assert (masks(likely, size, "probability") != expected).mean() < 1e-3
        assert masks(likely, size, "probability").shape == (3, *size)


def test_scores():
    np.testing.assert_array_equal(scores(np.array([[[0.1, 0.7]], [[0.2, 0.1]]])), np.array([0.7, 0.2], np.float32))


def test_what_is_not_asked_for_by_its_name_is_an_error():
    with pytest.raises(ContractError, match="mask rule"):
        masks(np.ones((1, 2, 2), np.float32), (2, 2), "half-max")
    with pytest.raises(ContractError, match=r"\[2, 2\]"):
        probabilities(np.ones((2, 2), np.float32))


def test_half_of_the_maximum_is_taken_after_resizing():
    """Shrunk, the peak is 0.61 and half of it 0.305; half of the network's own maximum would leave 0.48 out."""
    likely = np.full((1, 4, 4), 0.48, np.float32)
    likely[0, 0, 0] = 1
    assert masks(likely, (2, 2), "half_max").all()


def resized(response, length, axis):
    """As a whole, one axis at a time."""
    side = response.shape[axis]
    centres = np.clip((np.arange(length) + 0.5) * (side / length) - 0.5, 0, side - 1)
    low = centres.astype(int)
    weight = np.expand_dims((centres - low).astype(np.float32), 1 - axis)
    return response.take(low, axis) * (1 - weight) + response.take(np.minimum(low + 1, side - 1), axis) * weight


@pytest.mark.parametrize("size", [(96, 130), (31, 97), (33, 32), (32, 32), (5, 7), (1, 300), (300, 1)])
@pytest.mark.parametrize("rule", ["half_max", "probability"])
def test_every_bit_is_as_if_the_whole_response_were_resized(size, rule):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    spots = [np.exp(-((y - rng.uniform(-2, 34)) ** 2 + (x - rng.uniform(-2, 34)) ** 2) / s) for s in (0.3, 2, 30, 900)]
    noise = [rng.random((32, 32)), 0.4999 + 2e-4 * rng.random((32, 32)), np.full((32, 32), 1e-30), np.eye(32)]
    faint = [0.3 * spots[2], np.maximum(spots[0], 0.9 * spots[1]), np.zeros((32, 32))]
    likely = np.stack([*spots, *noise, *faint]).astype(np.float32)
    for found, response in zip(masks(likely, size, rule), likely, strict=True):
        whole = resized(resized(response, size[1], 1), size[0], 0)
        np.testing.assert_array_equal(found, whole > (0.5 * whole.max() if rule == "half_max" else 0.5))
