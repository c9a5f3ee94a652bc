import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cstm.errors import VideoError
from cstm.models.config import CSTMConfig
from cstm.runtime.frames import Frame
from cstm.runtime.preprocess import clip_indices, clip_windows, resize

CONFIG = CSTMConfig.from_preset("tiny", size=32)


def test_resizing_keeps_flat_colours_and_places():
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 32:] = (10, 200, 30)
    small = resize(image, 32)
    assert small.shape == (32, 32, 3) and small.dtype == np.uint8
    assert np.abs(small[:, 20:].astype(int) - (10, 200, 30)).max() <= 2
    assert small[:, :12].max() <= 2


def test_resizing_is_deterministic_and_reads_any_memory_layout():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    flipped = image[:, ::-1]
    np.testing.assert_array_equal(resize(flipped, 32), resize(flipped.copy(), 32))


def test_resizing_does_not_mix_the_colours():
    """Each channel is scaled alone: no passage through YUV, which would keep half of the colour only."""
    image = np.random.default_rng(0).integers(0, 256, (50, 71, 3), dtype=np.uint8)
    for channel in range(3):
        alone = np.repeat(image[..., channel : channel + 1], 3, axis=2)
        np.testing.assert_array_equal(resize(image, 32)[..., channel], resize(alone, 32)[..., channel])


def test_resizing_to_the_same_size_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(image, 32), image)


def test_resizing_gives_the_same_bytes_everywhere():
    y, x = np.mgrid[:50, :70]
    image = np.stack([3 * y, 3 * x, (x * y) % 256], axis=-1).astype(np.uint8)
    assert zlib.crc32(resize(image, 32).tobytes()) == 1017785004


@pytest.mark.parametrize("side", [1, 2, 7])
def test_resizing_tiny_images(side):
    assert (resize(np.full((side, side + 1, 3), 77, np.uint8), 32) == 77).all()


def test_the_authors_window():
    """Frame f counted from 1: eight frames from f - 8 in steps of two, f at index 4."""
    f = 30
    assert [i + 1 for i in clip_indices(f - 1, 100, 8, 2)] == [22, 24, 26, 28, 30, 32, 34, 36]


@given(count=st.integers(1, 60), target=st.integers(0, 59), frames=st.sampled_from([8, 16]), stride=st.integers(1, 9))
def test_windows_stay_inside_with_the_target_in_the_middle(count, target, frames, stride):
    target = min(target, count - 1)
    indices = clip_indices(target, count, frames, stride)
    assert len(indices) == frames and indices[frames // 2] == target
    assert indices == sorted(indices) and indices[0] >= 0 and indices[-1] < count


def test_a_source_that_fails_in_its_own_way():
    def camera():
        yield from numbered(5)
        raise ConnectionError("unplugged")

    seen = []
    with pytest.raises(ConnectionError, match="unplugged"):
        seen.extend(clip_windows(camera(), CONFIG))
    assert [frame.index for frame, _, _ in seen] == list(range(5))


def numbered(count, broken_after=None):
    for i in range(count):
        if i == broken_after:
            raise VideoError("breaks off")
        yield Frame(i, i / 10, np.full((8, 8, 3), i, np.uint8))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("count", "every"), [(1, 1), (3, 1), (20, 1), (20, 3), (40, 7)])
def test_streaming_gives_what_the_definition_says(count, every, stride):
    windows = list(clip_windows(numbered(count), replace(CONFIG, stride=stride), every))
    assert [frame.index for frame, _, _ in windows] == list(range(0, count, every))
    for frame, pixels, clip in windows:
        assert pixels.shape == (3, 32, 32) and clip.shape == (3, 8, 32, 32)
        np.testing.assert_array_equal(clip[:, 4], pixels)
        shown = clip[0, :, 0, 0].astype(int)
        assert np.abs(shown - clip_indices(frame.index, count, 8, stride)).max() <= 1


def test_memory_stays_bounded():
    alive = []

    def watched():
        for frame in numbered(200):
            alive.append(frame.index)
            yield frame

    for frame, _, _ in clip_windows(watched(), CONFIG):
        assert len(alive) - frame.index <= 8


def test_a_source_that_breaks_gives_its_frames_first():
    seen = []
    with pytest.raises(VideoError, match="breaks off"):
        for frame, _, clip in clip_windows(numbered(40, broken_after=13), CONFIG):
            seen.append(frame.index)
            assert clip[0].max() <= 13
    assert seen == list(range(13))


def paced(times):
    for index, time in enumerate(times):
        yield Frame(index, time, np.full((8, 8, 3), index, np.uint8))


def shown_in(clip):
    return clip[0, :, 0, 0].astype(int).tolist()


@pytest.mark.parametrize(("fps", "step"), [(50, 4), (25, 2), (100, 8)])
def test_by_time_a_fast_video_is_watched_at_the_pace_asked_for(fps, step):
    """25 frames a second, each second one: a frame every 80 ms, whatever the video's own pace."""
    windows = clip_windows(paced(np.arange(120) / fps), CONFIG, clip_fps=25)
    for frame, _, clip in windows:
        wanted = np.clip(frame.index + step * (np.arange(8) - 4), 0, 119)
        assert np.abs(shown_in(clip) - wanted).max() <= 1, frame.index


def test_by_time_a_slow_video_repeats_its_frames():
    windows = list(clip_windows(paced(np.arange(20) / 5), CONFIG, clip_fps=25))
    assert shown_in(windows[10][2]) == [8, 9, 9, 10, 10, 10, 11, 11]


def test_by_time_the_nearest_frames_of_an_uneven_video_are_taken():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.005, 0.2, 100))
    for frame, _, clip in clip_windows(paced(times), CONFIG, clip_fps=25):
        wanted = times[frame.index] + 0.08 * (np.arange(8) - 4)
        nearest = np.abs(times[:, None] - wanted).argmin(0)
        assert np.abs(shown_in(clip) - nearest).max() <= 1 and shown_in(clip)[4] == frame.index


def test_by_time_of_an_even_video_is_by_frame():
    by_frame = clip_windows(numbered(40), CONFIG, 3)
    by_time = clip_windows(numbered(40), CONFIG, 3, clip_fps=10)
    for (_, _, one), (_, _, other) in zip(by_frame, by_time, strict=True):
        np.testing.assert_array_equal(one, other)


def test_by_time_of_two_frames_as_near_the_earlier_is_taken():
    windows = list(clip_windows(paced(np.arange(20) / 8), CONFIG, clip_fps=32))
    assert shown_in(windows[10][2]) == [8, 8, 9, 9, 10, 10, 11, 11]
