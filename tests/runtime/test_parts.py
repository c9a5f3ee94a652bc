"""A video in parts: what is read for each, and that they join to what one process makes of the whole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cstm.errors import VideoError
from cstm.models.config import CSTMConfig
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.frames import Frame
from cstm.runtime.parts import LONGEST, SHORTEST, PackedMasks, PartMasks, clip_reach, join, segment_part, split
from cstm.runtime.preprocess import clip_windows
from cstm.runtime.presence import Track
from cstm.runtime.segmenter import Segmenter
from cstm.runtime.video_index import VideoIndex, index_video

from .films import COUNT, UNEVEN, write_film

SENTENCES = ["the dog on the left", "a person in red"]
TINY = CSTMConfig.from_preset("tiny", size=32)


def index_of(times, path="."):
    return VideoIndex(path, 25.0, (2, 2), np.array(times, float))


@settings(deadline=None)
@given(
    st.lists(st.floats(0.001, 0.4), min_size=1, max_size=40),
    st.none() | st.floats(1, 60),
    st.integers(0, 39),
    st.integers(1, 40),
)
def test_a_clip_looks_at_nothing_outside_its_reach(pauses, clip_fps, first, length):
    times = np.cumsum(pauses)
    first = first % len(times)
    targets = range(first, min(first + length, len(times)))
    frames = [Frame(i, float(time), np.full((2, 2, 3), (i, 7 * i % 256, 0), np.uint8)) for i, time in enumerate(times)]
    reach = clip_reach(index_of(times), targets, TINY, clip_fps)
    assert reach.start <= targets.start and targets.stop <= reach.stop

    def clips(frames):
        windows = clip_windows(frames, TINY, clip_fps=clip_fps)
        return {frame.index: clip for frame, _, clip in windows if frame.index in targets}

    whole, part = clips(frames), clips(frames[reach.start : reach.stop])
    assert whole.keys() == part.keys() == set(targets)
    for number in targets:
        np.testing.assert_array_equal(whole[number], part[number])


@given(st.integers(1, 5000), st.integers(1, 9), st.integers(0, 99), st.sampled_from([".", "a film"]))
def test_parts_cover_what_is_asked_for_once(count, workers, first, path):
    parts = split(index_of(np.arange(count), path), workers, first)
    assert [number for part in parts for number in part] == list(range(first, count))
    lengths = {len(part) for part in parts}
    assert not lengths or max(lengths) - min(lengths) <= 1
    assert len(parts) >= min(workers, max(count - first, 0))
    if path == ".":
        assert not lengths or max(lengths) <= LONGEST
        assert len(parts) <= workers or min(lengths) >= SHORTEST
    else:
        assert len(parts) <= 2 * workers


@pytest.fixture(scope="module")
def segmenter(bundle_path):
    with Segmenter(bundle_path, "onnxruntime", threads=1) as segmenter:
        yield segmenter


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("film") / "a.mp4", stamps=UNEVEN, bf="3")


@pytest.mark.parametrize(("every", "clip_fps"), [(3, None), (4, 12.5)])
def test_parts_join_to_exactly_the_masks_of_the_whole(segmenter, film, every, clip_fps):
    whole = list(segmenter.segment(film, SENTENCES, every, clip_fps))
    assert len({frame.masks.tobytes() for frame in whole}) > 3  # there is something to tell apart
    index = index_video(film)
    for count in (1, 2, 7):
        borders = np.linspace(0, COUNT, count + 1).astype(int).tolist()
        pieces = [range(*pair) for pair in pairwise(borders)]
        parts = [segment_part(segmenter, index, piece, SENTENCES, every, clip_fps) for piece in pieces]
        frames = [frame for part in join(parts) for frame in part.frames]
        assert [(f.index, f.time) for f in frames] == [(f.index, f.time) for f in whole]
        track = Track(segmenter.bundle.manifest.presence)
        for frame, other in zip(frames, whole, strict=True):
            unpacked = frame.unpacked(other.image, track)
            for field in ("masks", "scores", "presence", "track_presence", "seen"):
                np.testing.assert_array_equal(getattr(unpacked, field), getattr(other, field))


def test_the_network_runs_for_targets_alone(segmenter, film, monkeypatch):
    runs, real = [], segmenter.chain.mask_logits
    monkeypatch.setattr(segmenter.chain, "mask_logits", lambda *given: runs.append(0) or real(*given))
    reported = []
    segment_part(segmenter, index_video(film), range(20, 30), SENTENCES, every=3, report=reported.append)
    assert (len(runs), reported) == (3, [21, 24, 27])


def test_parts_of_two_videos_do_not_join(segmenter, film, tmp_path):
    other = write_film(tmp_path / "other.mp4", stamps=UNEVEN, bf="3", crf="40")
    one, two = (
        segment_part(segmenter, index_video(path), piece, SENTENCES, 10)
        for path, piece in ((film, range(20)), (other, range(20, 40)))
    )
    with pytest.raises(VideoError, match="around frame 20 two parts of the video hold other pictures"):
        list(join([one, two]))


def test_parts_with_a_gap_do_not_join():
    with pytest.raises(VideoError, match="frame 5 should follow, but a part begins at 6"):
        list(join([PartMasks(range(5), [], 0, 1), PartMasks(range(6, 9), [], 1, 0)]))


def test_packed_masks_are_the_same_masks():
    masks = np.random.default_rng(0).random((2, 5, 7)) > 0.5
    image = np.zeros((5, 7, 3), np.uint8)
    found = FrameMasks(3, 0.5, image, masks, np.ones(2, np.float32))
    again = PackedMasks.of(found).unpacked(image, Track(None))
    assert (again.index, again.time, again.scores.tolist()) == (3, 0.5, [1, 1])
    np.testing.assert_array_equal(again.masks, masks)
