"""A checkpoint and a bundle on a small made-up data set."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cstm.bench.evaluate import cut, evaluate
from cstm.bench.evaluation_table import table
from cstm.bench.metrics import summarise
from cstm.bench.predictors import ModelPredictor, open_predictor
from cstm.commands.eval import add_arguments, run
from cstm.console import make_console
from cstm.data.sample import NON_TRIVIAL, TRIVIAL, Reference, Sample
from cstm.errors import BundleError, CheckpointError, CSTMError, QueryError, RequestError
from cstm.runtime.postprocess import probabilities

pytestmark = pytest.mark.filterwarnings("ignore::cstm.runtime.segmenter.UntrainedWarning")
SIZES = ((40, 56), (64, 64), (90, 33), (40, 56), (40, 56))
SENTENCES = ("the dog running", "a cat", "the man on the left", "the dog running", "a red car")


class FakeDataset:
    """Five samples of three videos; moving blobs, so that a wrong target frame shows."""

    sentences_file = Path("sentences.txt")

    def __init__(self, truths=None):
        videos = "aabbc"
        self.references = [
            Reference(videos[i], i, SENTENCES[i], actor="dog", difficulty=(TRIVIAL, NON_TRIVIAL)[i % 2])
            for i in range(5)
        ]
        self.truths = truths or [np.zeros(size, bool) for size in SIZES]

    def load(self, reference: Reference) -> Sample:
        rng = np.random.default_rng(reference.frame)
        blocks = rng.integers(0, 256, (3, 8, 4, 4), dtype=np.uint8)
        return Sample(reference, blocks.repeat(16, 2).repeat(16, 3), self.truths[reference.frame])


@pytest.fixture(scope="module")
def truths(small_checkpoint) -> list[np.ndarray]:
    """The checkpoint's own masks, by the authors' rule: the second cut in half, the fourth inverted."""
    dataset = FakeDataset()
    with open_predictor(small_checkpoint) as predictor:
        samples = [dataset.load(reference) for reference in dataset.references]
        likely = probabilities(predictor(np.stack([s.clip for s in samples]), list(SENTENCES)))
    masks = [cut(response, size, "authors") for response, size in zip(likely, SIZES, strict=True)]
    masks[1] &= np.cumsum(masks[1]).reshape(masks[1].shape) <= masks[1].sum() // 2
    masks[3] = ~masks[3]
    return masks


@pytest.fixture(scope="module")
def reference_outcomes(small_checkpoint, truths):
    with open_predictor(small_checkpoint) as predictor:
        return {p: evaluate(predictor, FakeDataset(truths), p, shown=False) for p in ("authors", "mttr")}


def test_a_checkpoint_finds_its_own_masks(reference_outcomes, truths):
    outcomes = reference_outcomes["authors"]
    assert [o.iou for o in outcomes] == pytest.approx([1, 0.5, 1, 0, 1], abs=0.01)
    assert [o.reference for o in outcomes] == FakeDataset().references
    assert outcomes[0].truth["size"] == [40, 56] and outcomes[0].union == truths[0].sum() > 0
    assert all(0 < o.score < 1 for o in outcomes)
    found = summarise(outcomes, "authors")
    assert found["mean_iou"] == pytest.approx(0.7, abs=0.01) and found["p@0.9"] == 0.6
    assert found["vp@0.9"] == pytest.approx(1 / 3) and found["non_trivial"]["n"] == 2


def test_a_bundle_gives_the_figures_of_its_checkpoint(bundle_path, truths, reference_outcomes):
    for backend in ("torch", "onnxruntime"):
        with open_predictor(bundle_path, backend, "fp32") as predictor:
            assert predictor.name == f"{backend} fp32"
            for protocol, expected in reference_outcomes.items():
                # Batches of 3 on a bundle of at most 2.
                actual = evaluate(predictor, FakeDataset(truths), protocol, batch=3, shown=False)
                assert [o.iou for o in actual] == pytest.approx([o.iou for o in expected], abs=5e-3)
                assert [o.score for o in actual] == pytest.approx([o.score for o in expected], abs=1e-4)
                ours, theirs = (summarise(o, protocol) for o in (actual, expected))
                for name in ("mean_iou", "overall_iou", "p@0.9", "vp@0.6", "n"):
                    assert ours[name] == pytest.approx(theirs[name], abs=5e-3)


def test_batches_make_no_difference(small_checkpoint, truths, reference_outcomes):
    with open_predictor(small_checkpoint) as predictor:
        single = evaluate(predictor, FakeDataset(truths), batch=1, limit=3, shown=False)
    assert [o.iou for o in single] == pytest.approx([o.iou for o in reference_outcomes["authors"][:3]], abs=5e-3)


def test_a_gru_checkpoint(tmp_path):
    from cstm.models.checkpoint import save_checkpoint
    from cstm.models.config import CSTMConfig
    from cstm.models.seeded import seeded

    small = {"size": 64, "text_width": 32, "decoder_width": 16, "spatial_width": 0.125, "temporal_width": 0.125}
    model = seeded(CSTMConfig.from_preset("released", spatial_layers=(1, 1, 1, 1), **small))
    path = tmp_path / "gru.safetensors"
    save_checkpoint(model, path)
    with open_predictor(path) as predictor:
        outcomes = evaluate(predictor, FakeDataset(), shown=False)
        assert len(outcomes) == 5 and len(predictor.reader.word_vectors)
        logits = ModelPredictor(model, predictor.reader)(np.zeros((2, 3, 8, 64, 64), np.uint8), ["a dog", "cats"])
    assert logits.shape == (2, 1, 64, 64) and logits.dtype == np.float32
    save_checkpoint(type(model)(model.config, {"kind": "trained"}), path)
    with pytest.raises(CheckpointError, match="--glove"):
        open_predictor(path)


def test_what_each_protocol_calls_a_mask():
    response = np.array([[0.6, 0.1], [0.5, 0.1]], np.float32)
    nearest = np.zeros((4, 6), bool)
    nearest[:2, :3] = True
    np.testing.assert_array_equal(cut(response, (4, 6), "mttr"), nearest)
    np.testing.assert_array_equal(cut(response, (2, 2), "authors"), [[True, False], [True, False]])
    # Sizes that do not divide: row i comes from i * 3 // 5, as in torch's "nearest".
    steps = np.array([[0.9], [0.1], [0.9]], np.float32).repeat(3, axis=1)
    assert cut(steps, (5, 3), "mttr")[:, 0].tolist() == [True, True, False, False, True]
    faint = np.full((2, 2), 0.01, np.float32)
    assert cut(faint, (4, 4), "authors").all() and not cut(faint, (4, 4), "mttr").any()


def test_nearest_is_that_of_torch():
    import torch

    response = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    for size in ((40, 56), (240, 320), (91, 33)):
        expected = torch.nn.functional.interpolate(torch.from_numpy(response > 0.5)[None, None].float(), size)
        np.testing.assert_array_equal(cut(response, size, "mttr"), expected[0, 0].numpy() > 0)


def test_sentences_are_read_before_anything_runs(small_checkpoint):
    dataset = FakeDataset()
    dataset.load = None
    with open_predictor(small_checkpoint) as predictor:
        for sentence, wrong in (("?!", r"'\?!' holds no word"), ("the dog " * 40, "'the dog the dog .* has 82 tokens")):
            dataset.references[-1] = replace(dataset.references[-1], sentence=sentence, instance="7")
            with pytest.raises(QueryError, match=rf"^sentences\.txt: video c, instance 7: sentence {wrong}"):
                evaluate(predictor, dataset)
        for bad in ({"limit": 0}, {"batch": 0}, {"protocol": "coco"}):
            with pytest.raises(RequestError):
                evaluate(predictor, FakeDataset(), **bad)


def test_models_that_cannot_be_opened(small_checkpoint, tmp_path):
    for options in ({"backend": "torch"}, {"precision": "fp32"}):
        with pytest.raises(RequestError, match="is a checkpoint"):
            open_predictor(small_checkpoint, **options)
    with pytest.raises(RequestError, match="is a bundle"):
        open_predictor(tmp_path, glove=small_checkpoint)
    with pytest.raises(CheckpointError, match="no such"):
        open_predictor(tmp_path / "absent.pth")
    with pytest.raises(BundleError, match="not a bundle"):
        open_predictor(tmp_path / "absent")


def test_table_and_json(reference_outcomes):
    found = summarise(reference_outcomes["authors"], "authors")
    console = make_console()
    with console.capture() as capture:
        console.print(table(found))
    shown = capture.get()
    for text in ("authors protocol", f"{100 * found['mean_iou']:.1f}", "non-trivial", "dog"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 140 and "…" not in shown
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    table(summarise(reference_outcomes["mttr"][:1], "mttr"))


def parse(*words) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_command(small_checkpoint, truths, reference_outcomes, tmp_path, monkeypatch, capsys):
    asked = []

    def open_dataset(data, split, config, window):
        asked.append((data, split, config.size))
        return FakeDataset(truths)

    monkeypatch.setitem(sys.modules, "cstm.data.open", SimpleNamespace(open_dataset=open_dataset, SPRITES="sprites"))
    file = tmp_path / "figures.json"
    assert run(parse(small_checkpoint, "--data", "sprites", "--protocol", "mttr", "--limit", 4, "--json", file)) == 0
    assert asked == [("sprites", "test", 64)]
    assert "4 samples of sprites test, centred window, on PyTorch reference fp32" in capsys.readouterr().out
    assert json.loads(file.read_text()) == summarise(reference_outcomes["mttr"][:4], "mttr")

    file.unlink()
    for bad in (["--limit", 0], ["--backend", "torch"]):
        with pytest.raises(CSTMError):
            run(parse(small_checkpoint, "--data", "sprites", "--json", file, *bad))
    assert list(tmp_path.iterdir()) == []


class Flickers(FakeDataset):
    """The clip of the sample's own frame is black; those around it are what they were."""

    def load(self, reference: Reference) -> Sample:
        sample = super().load(reference)
        return replace(sample, clip=np.zeros_like(sample.clip))

    def clip(self, reference: Reference, offset: int) -> np.ndarray:
        assert offset in (-1, 1)
        return super().load(reference).clip


def test_samples_are_mended_by_the_frames_around(small_checkpoint, truths, monkeypatch):
    monkeypatch.setattr("cstm.bench.evaluate.mended", lambda before, own, after: (before + after) / 2)
    with open_predictor(small_checkpoint) as predictor:
        clear = evaluate(predictor, FakeDataset(truths))
        flickers, mended = (evaluate(predictor, Flickers(truths), smoothing=wanted) for wanted in (False, True))
    assert [o.predicted for o in mended] == [o.predicted for o in clear] != [o.predicted for o in flickers]
