"""Responses without what lasts for one frame."""

import numpy as np
import pytest

from cstm.errors import RequestError, VideoError
from cstm.runtime.smooth import check_smoothing, smooth


def given(*values):
    return [(number, np.full((1, 1, 2, 2), value, np.float32)) for number, value in enumerate(values)]


def smoothed(values, count):
    return [(frame, float(response[0, 0, 0, 0])) for frame, response in smooth(iter(given(*values)), count)]


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_each_frame_comes_once_with_the_median_around_it(frames, count):
    values = np.random.default_rng(frames).normal(size=frames).astype(np.float32)
    found = smoothed(values, count)
    assert [frame for frame, _ in found] == list(range(frames))
    for frame, value in found:
        near = min(count // 2, frame, frames - 1 - frame)
        assert value == pytest.approx(float(np.median(values[frame - near : frame + near + 1])))


def test_a_drop_out_of_one_frame_is_gone_and_one_of_two_stays():
    assert [value for _, value in smoothed([5, 5, -5, 5, 5, -5, -5, 5, 5], 3)] == [5, 5, 5, 5, 5, -5, -5, 5, 5]


def test_one_frame_alone_changes_nothing_and_waits_for_none():
    source = iter(given(1, 2))
    first = next(smooth(source, 1))
    assert first[0] == 0 and next(source)[0] == 1


def test_what_was_read_comes_before_the_error():
    def breaks():
        yield from given(1, 2, 3)
        raise VideoError("broken")

    frames = smooth(breaks(), 5)
    assert [next(frames)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(VideoError, match="broken"):
        next(frames)


@pytest.mark.parametrize("count", [0, 2, -1, True, 1.0, "3"])
def test_a_number_without_a_middle_is_refused(count):
    with pytest.raises(RequestError, match="odd number"):
        check_smoothing(count)
