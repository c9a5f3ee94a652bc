"""What becomes of each frame of a stream."""

import asyncio
import threading
import time

import numpy as np
import pytest

from cstm.errors import ContractError, RequestError, VideoError
from cstm.runtime.live.policy import Policy

from .conftest import Frames, WritingChain

STRIDES = [-8, -6, -4, -2, 0, 2, 4, 6]


def slow():
    time.sleep(0.03)


def balanced(counts):
    return counts.decoded == counts.segmented + counts.held + sum(counts.dropped.values()) + counts.waiting


def test_block_segments_every_frame_though_the_network_is_slow(stream):
    found = list(watched := stream(Frames(20), chain=WritingChain(slow)))
    assert [masks.index for masks in found] == list(range(20))
    assert {masks.how for masks in found} == {"segmented"}
    assert (watched.counts.decoded, watched.counts.segmented, watched.counts.waiting) == (20, 20, 0)


def test_latest_passes_over_targets_but_no_frame_of_a_clip(stream):
    watched = stream(Frames(100, gap=0.005), policy="latest", chain=WritingChain(slow))
    found = list(watched)
    assert len(found) < 60
    for masks, levels in zip(found, watched.chain.levels, strict=True):
        assert levels == [min(max(masks.index + step, 0), 99) for step in STRIDES]
    # Behind by what the network takes, and no more: not by what was passed over.
    assert max(masks.age for masks in found) < 6 * 0.02 + 0.3
    assert watched.counts.dropped["late"] == 100 - len(found)
    assert watched.counts.decoded == 100 and watched.counts.waiting == 0


def test_every_nth_frame(stream):
    watched = stream(Frames(20), policy="every=4")
    assert [masks.index for masks in watched] == [0, 4, 8, 12, 16]
    assert watched.counts.dropped == {"not a target": 15}


@pytest.mark.parametrize(("between", "how"), [("hold", "held"), ("move", "moved")])
def test_frames_in_between_get_masks_too_and_it_is_said(stream, between, how):
    watched = stream(Frames(9), policy="every=4", between=between)
    found = list(watched)
    assert [masks.index for masks in found] == list(range(9))
    assert [masks.how for masks in found] == ["segmented", how, how, how] * 2 + ["segmented"]
    assert (watched.counts.segmented, watched.counts.held, watched.counts.dropped) == (3, 6, {})
    assert balanced(found[5].counts) and found[5].counts.segmented == 2


def test_a_slow_taker_of_frames_in_between_leaves_some_to_be_segmented(stream):
    """Each frame in between takes longer than the next one to come: the newest is always another."""
    watched, found = stream(Frames(200, gap=0.005), policy="latest", between="move"), []
    for masks in watched:
        time.sleep(0.015)
        found.append(masks.how)
    assert found.count("segmented") >= len(found) // 9
    assert watched.counts.waiting == 0


def test_at_all_times_each_frame_is_accounted_for(stream):
    watched = stream(Frames(60, gap=0.002), policy="latest", between="hold", chain=WritingChain(slow))
    assert all(balanced(masks.counts) for masks in watched)
    assert watched.counts.held and not watched.counts.waiting


def test_no_clip_and_no_held_mask_crosses_a_lost_connection(stream):
    watched = stream(Frames(24, connections=[1] * 12 + [2] * 12), policy="every=5", between="hold")
    found = {masks.index: masks for masks in watched}
    assert [levels[0] for levels in watched.chain.levels] == [0, 0, 2, 12, 12]
    assert [levels[-1] for levels in watched.chain.levels] == [6, 11, 11, 21, 23]
    assert sorted(set(range(24)) - set(found)) == [12, 13, 14]  # nothing of this connection was segmented yet
    assert watched.counts.dropped == {"no masks yet": 3}
    assert found[11].connection == 1 and found[15].connection == 2


def test_sentences_change_while_it_runs(stream):
    watched = stream(Frames(12))
    seen = [next(watched).sentences]
    watched.sentences = ["1", "2", "3"]
    seen.append((masks := next(watched)).sentences)
    assert masks.masks.shape == (3, 20, 24)
    assert watched.chain.read == [1, 2, 1]  # at most two at once
    watched.sentences = ["1"]
    assert next(watched).sentences == ("1",) and watched.chain.read == [1, 2, 1]  # kept
    assert seen == [("1",), ("1", "2", "3")]


def test_a_sentence_that_cannot_be_read_changes_nothing(stream):
    watched = stream(Frames(12))
    with pytest.raises(ValueError):
        watched.sentences = ["1", "no number"]
    assert watched.sentences == ("1",)


def test_one_sentences_failure_is_its_own(stream):
    masks = next(stream(Frames(12), ["1", "nan", "2"]))
    assert masks.failed == ("nan",)
    assert masks.masks.any((1, 2)).tolist() == [True, False, True]
    np.testing.assert_allclose(masks.scores, [0.7310586, 0, 0.880797], rtol=1e-5)


def test_capture_times_and_ages(stream):
    masks = [*stream(Frames(12, gap=0.01))]
    assert all(0 < found.age < 1 for found in masks)
    assert abs(time.time() - masks[-1].captured) < 2
    assert masks[0].age > 0.05  # it waits for six more frames


def test_what_ends_the_source_comes_after_the_last_masks(stream):
    watched = stream(Frames(5, error=VideoError("gone")))
    found = []
    with pytest.raises(VideoError, match="gone"):
        for masks in watched:
            found.append(masks.index)
    assert found == list(range(5))


@pytest.mark.parametrize("gap", [0.0, 0.2])
def test_closing_ends_both_threads(stream, gap):
    watched = stream(Frames(10_000, gap=gap))
    if not gap:
        next(watched)
    closer = threading.Timer(0.1, watched.close)
    closer.start()
    start = time.monotonic()
    rest = sum(1 for _ in watched)
    assert time.monotonic() - start < 1 and rest < 1000
    closer.join()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("cstm")]
    assert watched.counts.waiting == 0 and balanced(watched.counts)
    assert list(watched) == []


def test_a_frame_that_is_taken_when_it_is_closed_is_counted_once(stream):
    """By another thread, while the network is at it."""
    watched = stream(
        Frames(10_000), chain=WritingChain(lambda: watched.close() if watched.counts.segmented == 3 else 0)
    )
    found = [next(watched) for _ in range(4)]
    assert watched.counts.segmented == 4 and balanced(watched.counts) and balanced(found[-1].counts)
    assert watched.counts.waiting == 0 and set(watched.counts.dropped) == {"closed"}


def test_async_for_and_a_timeout_lose_nothing(stream):
    watched = stream(Frames(12, gap=0.02))

    async def collect():
        found = []
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(watched), 0.01)
        async for masks in watched:
            found.append(masks.index)
        return found

    assert asyncio.run(collect()) == list(range(12))


def test_what_there_is_not(stream):
    for text in ("", "newest", "every=0", "every=x", ",every=2", "block,latest", None):
        with pytest.raises(RequestError, match="policy"):
            Policy.parse(text)
    with pytest.raises(RequestError, match="between"):
        stream(Frames(1), between="guess")


def test_logits_of_another_shape_are_no_sentences_fault(stream):
    chain = WritingChain()
    chain.mask_logits = lambda given, plan: np.zeros((1, 2, 32, 32), np.float32)
    with pytest.raises(ContractError):
        next(stream(Frames(12), chain=chain))
