"""Does the network listen, and does it watch? Two proofs on sprites: `cstm probe`.

Listening: given the sentence of another actor in the clip, it must find that one and leave the first. Watching: of two
actors that differ in nothing but their action, it must find the one that does what the sentence says, and it must do
worse when the frames around the target come in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cstm.bench.evaluate import cut
from cstm.bench.metrics import AUTHORS
from cstm.bench.predictors import Predictor
from cstm.data.sprites.cutouts import Cutouts
from cstm.data.sprites.dataset import clip_times, make_clip
from cstm.data.sprites.scene import ROLES
from cstm.models.config import CSTMConfig
from cstm.progress import track
from cstm.runtime.overlap import mask_iou
from cstm.runtime.postprocess import probabilities

SEED = 77  # unlike the evaluation's and the training's


@dataclass(frozen=True)
class Pair:
    """Two actors of a clip, each found by its own sentence.

    clip: uint8 [3,T,R,R]. sentences: of the two. masks: bool [2,R,R], their true masks.
    """

    clip: np.ndarray
    sentences: tuple[str, str]
    masks: np.ndarray


def pairs(
    split: str, kind: str | None, count: int, config: CSTMConfig, seed: int = SEED, cutouts: Cutouts | None = None
) -> Iterator[Pair]:
    """`count` pairs from sprite clips; kind: of `options.KINDS`, whose rivals then are the pair, None: any two.

    cutouts: photographs to take the pair from, instead of emoji.
    """
    number, times = 0, clip_times(config.frames, config.stride)
    while count:
        clip = make_clip(split, seed, number, config.size, times, (config.frames // 2,), kind, cutouts=cutouts)
        number += 1
        chosen = clip.rivals() if kind in ROLES else list(clip.sentences)
        chosen = [i for i in chosen if clip.scene.actors[i].sprite.photo or not cutouts][:2]
        if len(chosen) == 2:
            count -= 1
            one, other = (clip.sentences[i].sentence for i in chosen)
            yield Pair(np.ascontiguousarray(clip.frames.transpose(3, 0, 1, 2)), (one, other), clip.masks[0, chosen])


def listening(predictor: Predictor, count: int = 300, split: str = "test", cutouts: Cutouts | None = None) -> dict:
    """own: mean IoU of each sentence's mask with its actor; other: with the pair's other actor; picks: share of
    sentences whose mask overlaps their actor more; n: sentences."""
    own, other = _ious(predictor, pairs(split, None, count, predictor.config, cutouts=cutouts), count)
    return {"own": float(own.mean()), "other": float(other.mean()), "picks": _picks(own, other), "n": len(own)}


def _picks(own: np.ndarray, other: np.ndarray) -> float:
    return float((own > other).mean() + 0.5 * (own == other).mean())


def watching(predictor: Predictor, count: int = 300, split: str = "test") -> dict:
    """picks: share of sentences whose mask overlaps their actor more than its double; mean_iou; the same with the
    frames around the target shuffled; n: sentences. Chance is 0.5."""
    found: dict[str, float] = {}
    for name, shuffle in {"": False, "shuffled_": True}.items():
        made = pairs(split, "action", count, predictor.config)
        own, other = _ious(predictor, _shuffled(made) if shuffle else made, count)
        found |= {
            f"{name}picks": _picks(own, other),
            f"{name}mean_iou": float(own.mean()),
            "n": len(own),
        }
    return found


def _shuffled(made: Iterator[Pair]) -> Iterator[Pair]:
    """The frames around the target in another order; the target stays."""
    rng = np.random.default_rng(SEED)
    for pair in made:
        frames = pair.clip.shape[1]
        around = [k for k in range(frames) if k != frames // 2]
        order = np.arange(frames)
        order[around] = rng.permutation(around)
        yield replace(pair, clip=np.ascontiguousarray(pair.clip[:, order]))


def _ious(predictor: Predictor, made: Iterator[Pair], count: int) -> tuple[np.ndarray, np.ndarray]:
    """IoU of every sentence's mask with its own actor and with the other one, [2 * count] each."""
    own, other = [], []
    for pair in track(made, predictor.name, count):
        logits = predictor(np.repeat(pair.clip[None], 2, axis=0), list(pair.sentences))
        for index, response in enumerate(probabilities(logits)):
            mask = cut(response, pair.masks.shape[1:], AUTHORS)
            own.append(mask_iou(mask, pair.masks[index]))
            other.append(mask_iou(mask, pair.masks[1 - index]))
    return np.array(own), np.array(other)
