"""Times only grow, and stay as the container has them wherever they can."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cstm.runtime.frame_times import FrameTimes


def times(stamps, fps=10, **how):
    time_of = FrameTimes(fps, **how)
    return [time_of(stamp) for stamp in stamps]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([5, 5.1, 5.4], [0, 0.1, 0.4]),
        ([-0.2, -0.1, 0], [0, 0.1, 0.2]),
        ([None, None, None], [0, 0.1, 0.2]),
        ([None, None, 7, 7.3], [0, 0.1, 0.2, 0.5]),
        ([0, None, 0.2], [0, 0.1, 0.2]),
        ([0, 0.1, 0.1, 0.2], [0, 0.1, 0.11, 0.2]),  # one repeats: the next keeps its time
        ([0, 0.2, 0.1, 0.3], [0, 0.2, 0.21, 0.3]),
        ([0, 0.5, 0.3, 0.7], [0, 0.5, 0.51, 0.7]),  # two frames back are no other recording
        ([0, 0.1, 0.5, 0, 0.3], [0, 0.1, 0.5, 0.6, 0.9]),  # another recording
        ([0, 60, 120], [0, 60, 120]),  # a time lapse
        ([0, 0.001, 0.3, 0.302], [0, 0.001, 0.3, 0.302]),  # bursts
    ],
)
def test_times(stamps, expected):
    assert times(stamps) == pytest.approx(expected)


def test_where_recordings_are_joined_a_leap_is_no_pause():
    assert times([0, 0.1, 5000, 5000.2], joined=True) == pytest.approx([0, 0.1, 0.2, 0.4])
    assert times([0, 0.1, 9, 9.1], joined=True) == pytest.approx([0, 0.1, 9, 9.1])


@given(st.lists(st.none() | st.floats(-1e5, 1e5)), st.sampled_from([0.5, 25, 1000]), st.booleans())
def test_times_only_grow(stamps, fps, joined):
    found = times(stamps, fps, joined=joined)
    assert found[:1] in ([], [0])
    assert all(later > earlier for earlier, later in pairwise(found))
