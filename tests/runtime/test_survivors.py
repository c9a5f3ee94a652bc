"""What one-line changes of the runtime showed to be untested: tolerances, edges of the post-processing."""

import numpy as np
import pytest

from cstm.errors import ContractError
from cstm.runtime.postprocess import masks, probabilities
from cstm.runtime.tolerance import MASK_IOU, Difference


@pytest.mark.parametrize(("precision", "most"), [("fp16", 1e-2), ("bf16", 1e-2), ("int8", 0.15), ("int8_bf16", 0.15)])
def test_relative_bounds_hold_what_they_say_and_no_more(precision, most):
    assert Difference(absolute=99, relative=most, scale=1).within(precision)
    assert not Difference(absolute=0, relative=most * 1.01, scale=1).within(precision)


@pytest.mark.parametrize(("scale", "strict", "most"), [(1, False, 1e-4), (0.1, False, 1e-4), (9, True, 1e-4)])
def test_the_absolute_bound(scale, strict, most):
    assert Difference(most, relative=99, scale=scale).within("fp32", strict)
    assert not Difference(most * 1.01, relative=0, scale=scale).within("fp32", strict)


def test_the_bound_grows_with_large_references_unless_strict():
    assert Difference(9e-4, relative=0, scale=9).within("fp32")
    assert not Difference(9.1e-4, relative=0, scale=9).within("fp32")
    assert not Difference(9e-4, relative=0, scale=9).within("fp32", strict=True)


def test_no_number_makes_both_differences_infinite():
    found = Difference.between(np.array([np.nan, 1.0]), np.array([-3.0, 1.0]))
    assert (found.absolute, found.relative, found.scale) == (np.inf, np.inf, 3)


def test_a_reference_of_zeros_is_no_division_by_zero():
    assert Difference.between(np.zeros(2), np.zeros(2)) == Difference(0, 0, 0)
    assert Difference.between(np.full(2, 1e-3), np.zeros(2)).relative > 1e6


def test_the_figure_that_is_judged_is_the_one_shown():
    found = Difference(absolute=2e-5, relative=3e-3, scale=1)
    assert found.shown("fp32") == "2.0e-05 abs" and found.shown("int8") == "3.0e-03 rel"


def test_the_worst_absolute_difference_is_in_units_of_its_scale():
    large, small = Difference(5e-4, 1e-6, scale=100), Difference(1e-4, 2e-6, scale=0.5)
    assert Difference.worst([large, small]) == Difference(1e-4, 2e-6, 0.5)
    assert Difference.worst([large, Difference(4e-6, 0, scale=1)]) == Difference(5e-4, 1e-6, 100)


def test_masks_are_held_to_what_the_documentation_says():
    assert MASK_IOU == {"fp32": 0.999, "fp16": 0.99, "bf16": 0.95, "int8": 0.8, "int8_bf16": 0.8}


def test_a_difference_does_not_change():
    with pytest.raises(AttributeError):
        Difference(0, 0, 0).absolute = 1


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (1, 1, 4), (1, 1, 1, 4, 4)])
def test_logits_of_any_other_shape_are_refused(shape):
    with pytest.raises(ContractError, match="expected"):
        probabilities(np.zeros(shape, np.float32))


def test_probabilities_of_small_logits():
    logits = np.array([-0.5, 0.5, 1], np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(probabilities(logits).ravel(), 1 / (1 + np.exp(-logits.ravel())), rtol=1e-6)


def test_half_is_outside():
    assert not masks(np.full((1, 2, 2), 0.5, np.float32), (2, 2), "probability").any()
    assert (
        masks(np.array([[[0.4, 0.8]]], np.float32).repeat(2, 1), (2, 2), "half_max")[0].tolist() == [[False, True]] * 2
    )
