"""Responses without what flickers for one frame."""

import numpy as np
import pytest

from cstm.errors import VideoError
from cstm.runtime.smooth import mended, smooth


def at(*columns):
    """Logits of a frame, a sentence for each: a square that begins at the column."""
    logits = np.full((len(columns), 1, 16, 16), -9, np.float32)
    for sentence, column in enumerate(columns):
        logits[sentence, 0, 4:8, column : column + 4] = 5
    return logits


def smoothed(*frames):
    return list(smooth(iter(enumerate(frames))))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_frames_that_agree_come_once_as_they_are(count):
    frames = [at(number, 2) for number in range(count)]  # of a moving square and one at rest
    found = smoothed(*frames)
    assert [number for number, _ in found] == list(range(count))
    for (_, ours), theirs in zip(found, frames, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_drop_out_of_one_frame_is_mended_for_its_sentence_alone():
    before, stray, after = at(0, 0), at(12, 1), at(1, 2)
    (_, first), (_, mid), (_, last) = smoothed(before, stray, after)
    np.testing.assert_array_equal(mid[0], (before[0] + after[0]) / 2)
    np.testing.assert_array_equal(mid[1], stray[1])
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(last, after)


@pytest.mark.parametrize("columns", [(0, 12, 12, 0), (0, 6, 12), (12, 0, 0)])
def test_what_lasts_or_moves_on_stays(columns):
    for (_, ours), column in zip(smoothed(*map(at, columns)), columns, strict=True):
        np.testing.assert_array_equal(ours, at(column))


def test_type_and_shape_stay():
    found = mended(at(0), at(12), at(0))
    assert found.dtype == np.float32 and found.shape == (1, 1, 16, 16)


def test_what_was_read_comes_before_the_error():
    def breaks():
        yield from enumerate(map(at, (0, 12, 0)))
        raise VideoError("broken")

    frames = smooth(breaks())
    found = [next(frames) for _ in range(3)]
    assert [number for number, _ in found] == [0, 1, 2]
    np.testing.assert_array_equal(found[1][1], at(0))
    with pytest.raises(VideoError, match="broken"):
        next(frames)
