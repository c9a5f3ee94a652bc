"""From a bundle, a video and sentences to masks."""

import json
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cstm import Segmenter
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.errors import (
    EngineError,
    QueryError,
    RequestError,
    VideoError,
)
from cstm.runtime.segmenter import UnknownWordWarning, UntrainedWarning
from cstm.runtime.video import open_video

pytestmark = pytest.mark.filterwarnings("ignore::cstm.runtime.segmenter.UntrainedWarning")
SENTENCES = list(DEMO_SENTENCES)


def frames(count=6, size=(40, 56)):
    return list(np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "precision"),
    [("torch", "fp32"), ("onnxruntime", "fp32"), ("onnxruntime", "fp16"), ("openvino", "fp32"), ("auto", None)],
)
def test_every_backend_gives_the_same_masks(bundle_path, name, precision):
    with Segmenter(bundle_path, "torch") as reference, Segmenter(bundle_path, name, precision) as segmenter:
        expected = list(reference.segment(frames(), SENTENCES))
        actual = list(segmenter.segment(frames(), SENTENCES))
    assert [a.index for a in actual] == list(range(6))
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.masks.shape == (2, 40, 56) and ours.masks.dtype == bool
        assert (ours.masks != theirs.masks).mean() < 0.02
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-2)


def test_a_real_video(bundle_path):
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        results = list(segmenter.segment(DEMO_VIDEO, SENTENCES[0], every=20))
    assert [(r.index, round(r.time, 3)) for r in results] == [(0, 0), (20, 2), (40, 4), (60, 6)]
    assert {r.masks.shape for r in results} == {(1, 576, 768)}
    assert {r.image.shape for r in results} == {(576, 768, 3)}


@pytest.mark.parametrize("stride", [2, 3, None])
def test_clips_have_the_stride_of_the_bundles_network(bundle_copy, monkeypatch, stride):
    """None: a bundle made before the manifest said so."""
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["config"].pop("stride")
    manifest["config"] |= {} if stride is None else {"stride": stride}
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    grey = [np.full((40, 56, 3), number, np.uint8) for number in range(30)]
    with Segmenter(bundle_copy, "onnxruntime") as segmenter:
        ask, seen = segmenter.chain.mask_logits, []
        monkeypatch.setattr(segmenter.chain, "mask_logits", lambda given, plan: seen.append(given) or ask(given, plan))
        list(segmenter.segment(grey, SENTENCES[0], every=15))
    step = stride or 2
    assert seen[1]["clip"][0, 0, :, 0, 0].tolist() == [15 + step * k for k in range(-4, 4)]


def test_more_sentences_than_a_batch(bundle_path):
    many = [*SENTENCES, "the dog", "a white car", "bird"]
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        assert segmenter.bundle.max_batch == 2
        together = next(segmenter.segment(frames(), many))
        alone = [next(segmenter.segment(frames(), [sentence])) for sentence in many]
    assert together.masks.shape == (5, 40, 56)
    for index, single in enumerate(alone):
        assert (together.masks[index] != single.masks[0]).mean() < 1e-3


def test_the_language_plan_is_made_once(bundle_path):
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        session, runs = segmenter.chain.sessions["text_encoder"], []
        original = session.run
        session.run = lambda inputs: runs.append(1) or original(inputs)
        assert len(list(segmenter.segment(frames(), SENTENCES))) == 6
    assert len(runs) == 1


def test_random_weights_and_unknown_words_are_said(bundle_path):
    with pytest.warns(UntrainedWarning, match="mean nothing"):
        segmenter = Segmenter(bundle_path, "onnxruntime")
    with segmenter, pytest.warns(UnknownWordWarning, match="zyzzyva"):
        segmenter.segment(frames(), "the zyzzyva dog")


def test_bad_requests_fail_before_anything_runs(bundle_path):
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        for sentences in ([], [""], ["dog", "собака"]):
            with pytest.raises(QueryError):
                segmenter.segment(frames(), sentences)
        with pytest.raises(VideoError):
            segmenter.segment("absent.mp4", SENTENCES)
        with pytest.raises(RequestError, match="every=0"):
            segmenter.segment(frames(), SENTENCES, every=0)


def test_an_open_video_is_taken_and_closed(bundle_path):
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        video = open_video(DEMO_VIDEO)
        next(segmenter.segment(video, SENTENCES, every=50))


@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "torch"])
def test_threads_get_what_one_thread_gets(bundle_path, name):
    clips = [list(np.random.default_rng(seed).integers(0, 256, (3, 40, 56, 3), dtype=np.uint8)) for seed in range(4)]
    with Segmenter(bundle_path, name) as segmenter:

        def masks(clip):
            return np.stack([result.masks for result in segmenter.segment(clip, SENTENCES)])

        alone = [masks(clip) for clip in clips]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(masks, clips * 3))
    assert all((ours == theirs).all() for ours, theirs in zip(together, alone * 3, strict=True))


def test_a_closed_one_says_so(bundle_path):
    segmenter = Segmenter(bundle_path, "openvino")
    segmenter.close()
    segmenter.close()
    with pytest.raises(EngineError, match="closed; open the bundle again"):
        list(segmenter.segment(frames(), SENTENCES))


@pytest.mark.parametrize("every", [2.5, float("inf"), float("nan"), True, "2", None])
def test_every_is_a_whole_number(bundle_path, every):
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        with pytest.raises(RequestError, match="whole number"):
            segmenter.segment(frames(), SENTENCES, every=every)
        assert len(list(segmenter.segment(frames(), SENTENCES, every=np.int64(3)))) == 2


@pytest.mark.parametrize("sentences", [5, None, {"a dog"}, [5], [None], "a d\udce9g", b"a dog"])
def test_what_is_no_sentence_is_refused_in_words(bundle_path, sentences):
    with Segmenter(bundle_path, "onnxruntime") as segmenter, pytest.raises(QueryError):
        segmenter.segment(frames(), sentences)


def test_a_stream_of_a_video_is_its_segmentation(bundle_path):
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        expected = list(segmenter.segment(frames(20), SENTENCES))
        with segmenter.stream(frames(20), SENTENCES) as stream:
            actual = list(stream)
    assert [masks.index for masks in actual] == [masks.index for masks in expected]
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours.masks == theirs.masks).all() and (ours.scores == theirs.scores).all()
    assert {masks.sentences for masks in actual} == {tuple(SENTENCES)}
    assert segmenter.look_ahead == 6


def test_a_pickled_segmenter_opens_again_as_it_was(bundle_path):
    with Segmenter(bundle_path, "onnxruntime", "fp16", threads=1) as segmenter:
        expected = next(segmenter.segment(frames(), SENTENCES))
        stored = pickle.dumps(segmenter)
    with pickle.loads(stored) as again:
        assert (again.backend.name, again.precision, again.backend.threads) == ("onnxruntime", "fp16", 1)
        assert (next(again.segment(frames(), SENTENCES)).masks == expected.masks).all()


def _try(segmenter, answers):
    try:
        segmenter.chain.language_plan({})
    except Exception as error:
        answers.put(f"{type(error).__name__}: {error}")
    segmenter.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_segmenter_says_that_it_cannot_run(bundle_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        child = context.Process(target=_try, args=(segmenter, answers))
        child.start()
        said = answers.get(timeout=30)
        child.join(30)
        assert child.exitcode == 0
        assert "EngineError" in said and "spawn" in said
        assert next(segmenter.segment(frames(), SENTENCES)).masks.any()  # the parent's goes on
