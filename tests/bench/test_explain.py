import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cstm.bench import explain as module
from cstm.bench.explain import explain, find_masks, pick_windows
from cstm.bench.figure import draw
from cstm.bench.strip import Strip, draw_strip, painted
from cstm.commands.explain import add_arguments, run
from cstm.data.vocabulary import seeded_vectors, wordlevel_tokenizer, wordpiece_tokenizer, words
from cstm.errors import CSTMError, QueryError, RequestError
from cstm.models.checkpoint import save_checkpoint
from cstm.models.config import CSTMConfig
from cstm.models.seeded import seeded
from cstm.runtime.postprocess import masks, probabilities
from cstm.runtime.text import SentenceReader

SMALL = {"size": 64, "transformer_layers": 1, "spatial_width": 0.125, "temporal_width": 0.125}
ABLATIONS = {
    "no LGFS": {"lgfs_stages": ()},
    "some LGFS": {"lgfs_stages": (4, 5)},
    "spatial": {"lgfs_stages": (), "streams": ("spatial",)},
    "temporal": {"lgfs_stages": (), "streams": ("temporal",)},
    "no CMAM": {"cmam": False},
    "GRU": {"text": "gru"},
}
SENTENCE = "the dog on the left"
COUNT = 12


def network(folder, **changes):
    model = seeded(CSTMConfig.from_preset("tiny", **SMALL | changes))
    tokenizer, vectors = wordpiece_tokenizer(), None
    if model.config.text == "gru":
        tokenizer, vectors = wordlevel_tokenizer(list(words())), seeded_vectors(model.config, words())
    tokenizer.save(str(folder / "tokenizer.json"))
    return model, SentenceReader(model.config, folder / "tokenizer.json", vectors)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A folder of frames of noise."""
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("video"), np.random.default_rng(0)
    for number in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def window(video):
    return pick_windows(video, CSTMConfig.from_preset("tiny", **SMALL), [5])[5]


@torch.inference_mode()
def step_by_step(model, window, query):
    """(projected features by stream, sentence, word weights and gates by stream, mask), without hooks."""
    vectors, sentence = model.text(tuple(torch.from_numpy(a) for a in query.inputs.values()))
    clip = torch.from_numpy(window[2])[None].float() / 255
    features, weights, gates = {}, {}, {}
    for stream, encoder in model.encoders.items():
        x = clip if stream == "temporal" else clip[:, :, clip.shape[2] // 2]
        features[stream], weights[stream], gates[stream] = [], [], []
        for stage, cmam, project in zip(encoder.stages, encoder.cmam, encoder.project, strict=True):
            x = stage(x)
            u = cmam.mixed(x)
            keys, queries = cmam.key(u).flatten(2)[0], cmam.query(vectors.transpose(1, 2))[0]
            scores = keys.sum(1) @ queries
            weights[stream].append(torch.exp(scores / scores.norm()))
            weights[stream][-1] /= weights[stream][-1].sum()
            gates[stream].append(torch.sigmoid(cmam.gate(weights[stream][-1] @ vectors[0])))
            x = x + u * (gates[stream][-1].reshape(1, -1, *[1] * (x.dim() - 2)) - 0.5)
            features[stream].append(project(x if x.dim() == 4 else x[:, :, x.shape[2] // 2]))
    fused = [f([s, t], sentence) for f, s, t in zip(model.fusion, *features.values(), strict=True)]
    logits = model.decoder(fused)[-1]
    mask = masks(probabilities(logits[:, None].numpy()), window[0].image.shape[:2], model.config.mask_rule)[0]
    return features, sentence, weights, gates, mask


def test_values_are_those_of_the_network(whole, window):
    model, reader = whole
    found = explain(model, reader, window, SENTENCE)
    features, sentence, weights, gates, mask = step_by_step(model, window, reader(SENTENCE))
    assert (found.frame, found.sentence, found.trained) == (5, SENTENCE, False)
    assert found.tokens == ("[CLS]", "the", "dog", "on", "the", "left", "[SEP]")
    np.testing.assert_array_equal(found.mask, mask)
    for stage in range(1, 6):
        pair = [features[stream][stage - 1] for stream in ("spatial", "temporal")]
        with torch.inference_mode():
            expected = model.fusion[stage - 1].weights(*pair, sentence)[0, :, :, 0, 0].numpy()
        selection, channels = found.selection[stage], found.channels[stage]
        np.testing.assert_allclose(selection, expected, atol=1e-5)
        np.testing.assert_allclose(selection.sum(0), 1, atol=1e-6)
        gap = np.abs(selection[0] - selection[1])
        assert len(set(channels)) == module.CHANNELS and gap[channels].min() >= np.delete(gap, channels).max()
        for stream, maps in zip(("spatial", "temporal"), pair, strict=True):
            response = found.responses[stream][stage - 1]
            assert response.shape == (64 // 2**stage,) * 2
            np.testing.assert_allclose(response, maps[0].numpy()[channels].mean(0), atol=1e-5)
            np.testing.assert_allclose(found.gates[stream][stage - 1], gates[stream][stage - 1], atol=1e-5)
    for stream in ("spatial", "temporal"):
        assert found.words[stream].shape == (5, model.config.max_words)
        np.testing.assert_allclose(found.words[stream].sum(1), 1, atol=1e-6)
        np.testing.assert_allclose(found.words[stream], torch.stack(weights[stream]), atol=1e-5)


def test_no_hook_stays(whole, window):
    model, reader = whole
    explain(model, reader, window, SENTENCE)
    with pytest.raises(QueryError):
        explain(model, reader, window, "!")
    assert not any(part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("name", ABLATIONS)
def test_what_the_network_lacks_is_left_out(name, window, tmp_path):
    model, reader = network(tmp_path, **ABLATIONS[name])
    found, config = explain(model, reader, window, SENTENCE), model.config
    assert set(found.selection) == set(found.channels) == set(config.lgfs_stages)
    assert tuple(found.responses) == config.streams
    assert tuple(found.words) == tuple(found.gates) == (config.streams if config.cmam else ())
    assert all(r.shape == (64 // 2**i,) * 2 for maps in found.responses.values() for i, r in enumerate(maps, 1))
    titles = [axes.get_title("left") for axes in draw(found).axes]
    assert sum("CMAM" in title for title in titles) == 2 * config.cmam
    bars = [axes for axes in draw(found).axes if axes.get_xlim() == (0, 1) and axes.patches]
    assert len(bars) == len(config.lgfs_stages)


def test_tokens_of_word_vectors_are_the_words_as_read(window, tmp_path):
    model, reader = network(tmp_path, text="gru")
    assert explain(model, reader, window, "The dog xyzzy left.").tokens == ("the", "dog", "[UNK]", "left")


def test_strip(whole, video):
    model, reader = whole
    windows = pick_windows(video, model.config, [0, 11])
    strip = Strip.of(model, reader, [windows[0], windows[11]], [SENTENCE, "costs $5 or $6"])
    assert strip.frames == (0, 11) and strip.times == (0, pytest.approx(11 / 25))
    assert strip.images.shape == (2, 30, 40, 3) and strip.masks.shape == (2, 2, 30, 40)
    np.testing.assert_array_equal(strip.masks[1], find_masks(model, reader, windows[11], list(strip.sentences)))
    legend = draw_strip(strip).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [*strip.sentences]


def test_painted_changes_masks_alone():
    image = np.full((20, 20, 3), 100, np.uint8)
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 5:15, 5:15] = True
    drawn = painted(image, mask)
    assert (drawn == 100).all(-1)[~mask[0]].all() and (drawn != 100).any(-1)[mask[0]].all() and (image == 100).all()


@pytest.fixture
def command(whole, video, tmp_path, monkeypatch):
    """Runs `cstm explain` with these arguments on a bundle of the small network."""
    model, reader = whole
    save_checkpoint(model, tmp_path / "checkpoint.safetensors")
    bundle = SimpleNamespace(config=model.config, reader=reader, file=lambda name: tmp_path / name)
    monkeypatch.setattr("cstm.runtime.bundle.Bundle", lambda path: bundle)
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return lambda *arguments: run(parser.parse_args(["bundle", str(video), *arguments]))


def test_files_are_written(command, video, capsys):
    from PIL import Image

    assert command(SENTENCE, "the red ball") == 0
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    folder = Path(f"{video.stem}.explain")
    assert paths == [folder / name for name in ("explain.png", "explain-2.png", "strip.png")]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert all(Image.open(path).width == 1400 for path in paths)


def test_nothing_half_written(command):
    with pytest.raises(QueryError):
        command(SENTENCE, "!", "--out", "out")
    assert not list(Path("out").iterdir())


@pytest.mark.parametrize("frame", [-1, COUNT, 1000])
def test_a_frame_beyond_the_video(command, frame):
    with pytest.raises(RequestError, match=f"--frame {frame}: .* has 12 frames; choose one from 0 to 11"):
        command(SENTENCE, f"--frame={frame}", "--out", "out")
    assert not Path("out").exists()


def test_a_window_beyond_the_video(video, whole):
    with pytest.raises(RequestError, match="ends after frame 11; choose frames from 0 to 11"):
        pick_windows(video, whole[0].config, [3, 12])


def test_a_folder_that_cannot_be_written(command, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(CSTMError, match="cannot be written"):
        command(SENTENCE, "--out", "taken/out")
