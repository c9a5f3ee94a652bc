"""Against pycocotools, which defines the format."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cstm.errors import ContractError
from cstm.runtime.rle import decode, encode

coco = pytest.importorskip("pycocotools.mask")

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans())


def check(mask):
    ours = encode(mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert ours == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    np.testing.assert_array_equal(decode(ours), mask)


@given(MASKS)
@settings(deadline=None)
def test_any_mask(mask):
    check(mask)


@pytest.mark.parametrize("fill", [False, True])
def test_empty_and_full(fill):
    check(np.full((7, 5), fill))


def test_a_large_blob():
    y, x = np.mgrid[:576, :768]
    check((y - 300) ** 2 + (x - 200) ** 2 < 150**2)


def test_noise_in_a_whole_frame():
    check(np.random.default_rng(0).random((576, 768)) > 0.5)


@pytest.mark.parametrize("counts", ["", "4", "44", "é", "!!", "P", "ooooooooooooooo0"])
def test_damaged_text_is_an_error(counts):
    with pytest.raises(ContractError, match="damaged"):
        decode({"size": [3, 3], "counts": counts})


def test_only_whole_masks():
    with pytest.raises(ContractError, match="H,W"):
        encode(np.zeros(4, bool))
