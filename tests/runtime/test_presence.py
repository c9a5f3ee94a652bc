"""Whether a sentence's actor is there: the score, its mean over time, and what becomes of the masks."""

import json

import numpy as np
import pytest

from cstm import Segmenter
from cstm.errors import RequestError
from cstm.runtime.manifest import PresenceRecord
from cstm.runtime.presence import MEMORY, Told, Track, evidence

pytestmark = pytest.mark.filterwarnings("ignore::cstm.runtime.segmenter.UntrainedWarning")
RECORD = PresenceRecord(slope=2.0, bias=1.0, threshold=0.0, auroc=0.9, false_positives=0.2, present=10, absent=20)
SENTENCES = ["the dog", "a cat"]


def even(*values):
    return np.array(values, np.float32)[:, None, None, None] * np.ones((1, 1, 8, 8), np.float32)


def test_evidence_is_the_mean_odds_of_any_logits():
    logits = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(evidence(logits), np.log(np.exp(logits).mean((1, 2, 3))), rtol=1e-6)
    np.testing.assert_allclose(evidence(even(-1e4, 1e4)), [-1e4, 1e4])


def test_a_track_begins_with_its_frame_and_forgets():
    track = Track(RECORD)
    first = track(even(1, -2), 5.0)
    np.testing.assert_allclose(first.presence, 1 / (1 + np.exp([-3, 3])), rtol=1e-6)
    np.testing.assert_array_equal(first.track_presence, first.presence)
    assert first.presence.dtype == np.float32 and first.seen.tolist() == [True, False]
    lost = track(even(-1, -2), 5.04)
    assert lost.presence[0] < 0.5 < lost.track_presence[0] and lost.seen.tolist() == [True, False]
    later = track(even(-1, 3), 5.04 + 20 * MEMORY)
    np.testing.assert_allclose(later.track_presence, later.presence, rtol=1e-6)


def test_without_a_record_nothing_is_told():
    assert Track(None)(even(1), 0.0) == Told(None, None, None)


@pytest.fixture
def segmented(bundle_copy):
    """Segments frames with a bundle that has, or has not, a record with this threshold."""

    def run(threshold=None, **options):
        path = bundle_copy / "manifest.json"
        record = None if threshold is None else vars(RECORD) | {"threshold": threshold}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"presence": record}))
        frames = list(np.random.default_rng(0).integers(0, 256, (5, 40, 56, 3), dtype=np.uint8))
        with Segmenter(bundle_copy, "onnxruntime") as segmenter:
            return list(segmenter.segment(frames, SENTENCES, **options))

    return run


def test_masks_are_kept_marked_or_hidden(segmented):
    plain = segmented()
    assert all(result.presence is None and result.seen is None for result in plain)
    for absent, threshold, seen in (("keep", 1e9, False), ("mark", 1e9, False), ("hide", -1e9, True)):
        for result, other in zip(segmented(threshold, absent=absent), plain, strict=True):
            np.testing.assert_array_equal(result.masks, other.masks)
            np.testing.assert_array_equal(result.scores, other.scores)
            assert result.presence.shape == result.track_presence.shape == (2,) and result.seen.tolist() == [seen] * 2
    assert not any(result.masks.any() for result in segmented(1e9, absent="hide"))
    assert all(result.masks.any((1, 2)).all() for result in plain)


def test_a_bundle_that_cannot_tell_keeps_and_refuses_the_rest(segmented):
    for absent in ("mark", "hide"):
        with pytest.raises(RequestError, match="the bundle cannot tell"):
            segmented(absent=absent)
    with pytest.raises(RequestError, match="must be of keep, mark, hide"):
        segmented(0.0, absent="drop")


def test_smoothing_is_of_the_responses(segmented, monkeypatch):
    plain = segmented()
    monkeypatch.setattr("cstm.runtime.smooth.mended", lambda before, own, after: before)
    delayed = segmented(smoothing=True)
    assert [result.index for result in delayed] == list(range(5))
    for ours, theirs in zip(delayed, [0, 0, 1, 2, 4], strict=True):
        np.testing.assert_array_equal(ours.masks, plain[theirs].masks)
