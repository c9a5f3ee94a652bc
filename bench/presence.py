"""Can a bundle tell that a sentence's actor is not there? On sprites: `cstm eval BUNDLE --data sprites --presence`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cstm.bench.predictors import BundlePredictor, Predictor
from cstm.calibration.bootstrap import drawn_counts, interval
from cstm.calibration.presence import evidence_on_sprites
from cstm.calibration.separation import auroc, reaching, threshold_at
from cstm.data.sprites.absent import KINDS
from cstm.errors import RequestError
from cstm.runtime.manifest import RECALL, PresenceRecord
from cstm.runtime.presence import Average, log_odds

CLIPS, SEED = 300, 78  # unlike those that presence was fitted on, and the evaluation's
TARGETS, FPS = (-8, -4, 0), 25  # of a track, frames; what sprites are played at


def presence(predictor: Predictor, clips: int = CLIPS, split: str = "test") -> dict:
    """{"frame", "track"}: for each, by what the absent are, or "all": `separation`; "clips": how many.

    A clip has one present and two absent sentences, and a track ends with its frame. RequestError where the bundle
    cannot tell.
    """
    record = predictor.segmenter.bundle.manifest.presence if isinstance(predictor, BundlePredictor) else None
    if record is None:
        raise RequestError(f"{predictor.name}: presence is what a bundle of trained weights tells; build one")

    def ask(clip: np.ndarray, sentences: Sequence[str]) -> np.ndarray:
        return predictor(np.repeat(clip[None], len(sentences), axis=0), list(sentences))

    odds = log_odds(record, evidence_on_sprites(ask, predictor.config, split, SEED, clips, TARGETS))
    average = Average()
    tracks = [average(odds[:, place], target / FPS) for place, target in enumerate(TARGETS)]
    scores = {"frame": odds[:, -1], "track": tracks[-1]}
    return {name: _by_kind(found, record) for name, found in scores.items()} | {"clips": len(odds)}


def _by_kind(scores: np.ndarray, record: PresenceRecord) -> dict:
    groups = {kind: scores[:, [number]] for number, kind in enumerate(KINDS) if number} | {"all": scores[:, 1:]}
    return {name: separation(scores[:, 0], absent, record.threshold) for name, absent in groups.items()}


def separation(present: np.ndarray, absent: np.ndarray, threshold: float) -> dict:
    """Of log-odds [n] and [n,k] of n clips: auroc, with its 95 % interval over clips, auroc_ci; false_positives: of the
    absent, at 95 % recall; recall and false_positives_there, at `threshold`."""
    drawn = (np.repeat(np.arange(len(present)), counts) for counts in drawn_counts(len(present)))
    return {
        "auroc": auroc(present, absent.ravel()),
        "auroc_ci": interval(np.array([auroc(present[clips], absent[clips].ravel()) for clips in drawn])),
        "false_positives": reaching(absent.ravel(), threshold_at(present, RECALL)),
        "recall": reaching(present, threshold),
        "false_positives_there": reaching(absent.ravel(), threshold),
    }
