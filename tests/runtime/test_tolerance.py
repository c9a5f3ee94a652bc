import numpy as np
import pytest

from cstm.runtime.tolerance import Difference


def test_differences():
    found = Difference.between(np.array([1.0, 2.5]), np.array([1.0, 2.0]))
    assert found.absolute == 0.5 and found.scale == 2 and found.relative == pytest.approx(0.5 / np.sqrt(5))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_no_number_never_passes(bad, precision):
    assert not Difference.between(np.array([bad, 1.0]), np.array([1.0, 1.0])).within(precision)


def test_the_rules():
    reference = np.full(4, 0.5)
    assert Difference.between(reference + 9e-5, reference).within("fp32")
    assert not Difference.between(reference + 2e-4, reference).within("fp32")
    assert Difference.between(reference * 1.009, reference).within("fp16")
    assert not Difference.between(reference * 1.011, reference).within("bf16")
