"""Fits what tells whether an actor is there, on held-out sprites: asked for who is there, and for who is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cstm.calibration.held_out import HELD_OUT_SEED
from cstm.calibration.separation import auroc, reaching, threshold_at
from cstm.data.sprites.absent import questions
from cstm.data.sprites.dataset import clip_times
from cstm.models.config import CSTMConfig
from cstm.models.contract import CLIP, FRAME
from cstm.runtime.chain import Chain
from cstm.runtime.manifest import RECALL, PresenceRecord
from cstm.runtime.presence import evidence, log_odds
from cstm.runtime.text import SentenceReader, stack

CLIPS = 96
PENALTY = 1.0  # on the square of the standardised slope, beside a sum over sentences
STEPS = 30  # Newton's converge in about six

Ask = Callable[[np.ndarray, Sequence[str]], np.ndarray]


def fit_presence(chain: Chain, reader: SentenceReader, clips: int = CLIPS) -> PresenceRecord:
    """What a chain's responses to three sentences on each of so many held-out clips come to."""

    def ask(clip: np.ndarray, sentences: Sequence[str]) -> np.ndarray:
        pixels = {CLIP: clip[None], FRAME: np.ascontiguousarray(clip[None, :, clip.shape[1] // 2])}
        return chain.mask_logits(pixels, chain.language_plan(stack([reader(sentence) for sentence in sentences])))

    found = evidence_on_sprites(ask, chain.config, "test", HELD_OUT_SEED, clips)
    return fit(found[:, 0, 0], found[:, 0, 1:].ravel())


def evidence_on_sprites(
    ask: Ask, config: CSTMConfig, split: str, seed: int, clips: int, targets: Sequence[int] = (0,)
) -> np.ndarray:
    """The evidence in what a network answers on sprites, float64 [clips,targets,KINDS].

    ask: gives the mask logits [Q,1,R,R] of a clip, uint8 [3,T,R,R], and Q sentences. targets: frames from the one that
    the sentences were made for.
    """
    around = clip_times(config.frames, config.stride)
    times = np.arange(targets[0] + around[0], targets[-1] + around[-1] + 1)
    found = []
    for question in questions(split, seed, clips, config.size, times, (int(-times[0]),)):
        frames = question.clip.frames.transpose(3, 0, 1, 2)
        asked = (np.ascontiguousarray(frames[:, target + around - times[0]]) for target in targets)
        found.append([evidence(ask(clip, question.sentences)) for clip in asked])
    return np.array(found)


def fit(present: np.ndarray, absent: np.ndarray) -> PresenceRecord:
    """Logistic regression from evidence [n] and [m], in which both groups weigh the same."""
    slope, bias = _newton(np.r_[present, absent], np.r_[np.ones(len(present)), np.zeros(len(absent))])
    record = PresenceRecord(slope, bias, 0, 0, 0, len(present), len(absent))
    ours, theirs = log_odds(record, present), log_odds(record, absent)
    threshold = threshold_at(ours, RECALL)
    return replace(record, threshold=threshold, auroc=auroc(ours, theirs), false_positives=reaching(theirs, threshold))


def _newton(values: np.ndarray, there: np.ndarray) -> tuple[float, float]:
    """Slope and bias of values [n] for labels [n] of 0 and 1."""
    mean, deviation = values.mean(), values.std() + 1e-9
    inputs = np.stack([(values - mean) / deviation, np.ones(len(values))], axis=1)
    balance = np.where(there, 0.5 / there.mean(), 0.5 / (1 - there.mean()))
    penalty = np.array([PENALTY, 0])
    weights = np.zeros(2)
    for _ in range(STEPS):
        likely = 0.5 + 0.5 * np.tanh(inputs @ weights / 2)
        slope = inputs.T @ (balance * (likely - there)) + penalty * weights
        curve = (inputs.T * (balance * likely * (1 - likely))) @ inputs + np.diag(penalty)
        weights -= np.linalg.solve(curve, slope)
    return float(weights[0] / deviation), float(weights[1] - weights[0] * mean / deviation)
