import zlib

import numpy as np
import pytest

from cstm.models.seeded import seeded_tensor


def test_seeded_weights_are_the_same_everywhere():
    assert seeded_tensor("a.weight", (2, 3)).ravel()[:2].tolist() == pytest.approx(
        (np.random.default_rng([zlib.crc32(b"a.weight"), 0]).standard_normal((2, 3)) / np.sqrt(3)).ravel()[:2].tolist()
    )
