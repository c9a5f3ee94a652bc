import numpy as np
import pytest

from cstm.runtime.overlap import mask_iou, overlap


@pytest.fixture
def masks():
    """Four: 4 of 6 pixels shared, none of 4 shared, both empty, one empty."""
    ours, theirs = np.zeros((2, 4, 5, 4), bool)
    ours[0, 0], ours[0, 1, 0], theirs[0, 0], theirs[0, 2, 0] = True, True, True, True
    ours[1, 0, :2], theirs[1, 3, :2] = True, True
    ours[3, 1] = True
    return ours, theirs


def test_pixels_and_their_ratio(masks):
    intersection, union = overlap(*masks)
    assert intersection.tolist() == [4, 0, 0, 0] and union.tolist() == [6, 4, 0, 4]
    np.testing.assert_allclose(mask_iou(*masks), [4 / 6, 0, 1, 0])


def test_tensors_are_as_arrays(masks):
    torch = pytest.importorskip("torch")
    ours, theirs = map(torch.from_numpy, masks)
    np.testing.assert_allclose(mask_iou(ours, theirs).numpy(), mask_iou(*masks))
