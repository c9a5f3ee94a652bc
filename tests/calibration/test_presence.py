"""The fit of presence, on made-up numbers and on a network's answers."""

import numpy as np
import pytest

from cstm.calibration.presence import evidence_on_sprites, fit, fit_presence
from cstm.calibration.separation import auroc, reaching, threshold_at
from cstm.data.sprites.absent import KINDS
from cstm.models.contract import contract
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.chain import Chain
from cstm.runtime.presence import log_odds

RNG = np.random.default_rng(0)


def test_auroc_counts_pairs():
    present, absent = RNG.integers(0, 9, 40), RNG.integers(-3, 6, 30)
    pairs = present[:, None] - absent
    assert auroc(present, absent) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert (auroc(np.ones(3), np.zeros(2)), auroc(np.ones(3), np.ones(2))) == (1, 0.5)


def test_a_threshold_keeps_what_it_should():
    for count in (3, 20, 96):
        scores = RNG.normal(size=count)
        threshold = threshold_at(scores, 0.95)
        assert reaching(scores, threshold) >= 0.95 > reaching(scores, np.nextafter(threshold, np.inf)) - 1e-9
        assert reaching(scores[scores > threshold], threshold) == 1


def test_the_fit_is_calibrated_whatever_the_share_of_the_present():
    present, absent = RNG.normal(2, 1, 20_000), RNG.normal(0, 1, 5_000)
    record = fit(present, absent)
    assert record.slope == pytest.approx(2, rel=0.05) and record.bias == pytest.approx(-2, rel=0.05)
    assert record.auroc == pytest.approx(0.921, abs=0.01) and (record.present, record.absent) == (20_000, 5_000)
    assert reaching(log_odds(record, present), record.threshold) == pytest.approx(0.95, abs=1e-3)
    assert record.false_positives == reaching(log_odds(record, absent), record.threshold)


def test_groups_far_apart_have_a_finite_fit():
    record = fit(np.full(8, 30.0), np.full(8, -30.0))
    assert np.isfinite([record.slope, record.bias, record.threshold]).all() and record.slope > 0
    assert (record.auroc, record.false_positives) == (1, 0)


def test_every_target_of_a_track_is_asked_about_the_same_sentences(quantiser):
    config, asked = quantiser.config, []

    def ask(clip, sentences):
        asked.append((clip, sentences))
        return np.full((len(sentences), 1, 8, 8), len(asked), np.float32)

    found = evidence_on_sprites(ask, config, "test", 1, 6, targets=(-2, 0))
    assert found.shape == (len(asked) // 2, 2, len(KINDS)) and len(found) >= 5
    np.testing.assert_allclose(found[:, :, 0].ravel(), np.arange(1, len(asked) + 1))
    for (before, sentences), (now, same) in zip(asked[::2], asked[1::2], strict=True):
        assert sentences == same and before.shape == (3, config.frames, config.size, config.size)
        np.testing.assert_array_equal(before[:, 1:], now[:, :-1])  # two frames, one stride, earlier


def test_a_chain_is_fitted_on_its_answers(quantiser):
    specs = contract(quantiser.config)
    with Chain(quantiser.config, {n: OnnxRuntimeSession(c, quantiser.models[n]) for n, c in specs.items()}) as chain:
        record = fit_presence(chain, quantiser.reader, clips=6)
    assert record.absent == 2 * record.present >= 10 and 0 <= record.auroc <= 1 and np.isfinite(record.threshold)
