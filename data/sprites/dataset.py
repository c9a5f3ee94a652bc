"""Samples of sprite scenes, each made from (split, seed, number) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cstm.data.sample import NON_TRIVIAL, TRIVIAL, Reference, Sample
from cstm.data.sprites.cutouts import Cutouts
from cstm.data.sprites.options import KINDS, SPLITS
from cstm.data.sprites.render import render
from cstm.data.sprites.scene import ROLES, Scene, draw_scene
from cstm.data.sprites.sentences import Description, describe
from cstm.errors import RequestError
from cstm.models.config import CSTMConfig
from cstm.runtime.preprocess import clip_offsets

# A referent shows at least this share of itself and of the frame.
VISIBLE, SMALLEST = 0.45, 0.008
ATTEMPTS = 60
ALONE = 0.5  # of the scenes with rivals, those that are told apart by one thing alone


@dataclass(frozen=True)
class Clip:
    """A scene whose referents can be seen and told apart.

    sentences: by actor, of those that can be. frames: RGB uint8 [T,R,R,3]. masks: bool [L,A,R,R], what is visible of
    each actor in each labelled frame; whole: int64 [L,A], pixels it would have with nothing in front.
    """

    scene: Scene
    sentences: dict[int, Description]
    frames: np.ndarray
    masks: np.ndarray
    whole: np.ndarray

    def rivals(self) -> list[int]:
        """The actors that share their class with another one."""
        return _rivals(self.scene)

    def difficulty(self, actor: int) -> str:
        """NON_TRIVIAL when another actor of the clip is of the same class."""
        return NON_TRIVIAL if actor in self.rivals() else TRIVIAL


def make_clip(
    split: str,
    seed: int,
    number: int,
    size: int,
    times: np.ndarray,
    labelled: tuple[int, ...],
    kind: str | None = None,
    compress: bool = True,
    cutouts: Cutouts | None = None,
) -> Clip:
    """Clip `number` of a seed: the first scene drawn in which an actor can be seen at time 0 and described; where
    `kind` names one, both rivals can, and by that alone.

    times: of the frames, from the target. labelled: indices of the frames to have masks; one of them shows time 0.
    cutouts: photographs to take some of the actors and backgrounds from.
    RequestError on an unknown split or kind, or a negative seed.
    """
    if split not in SPLITS:
        raise RequestError(f"no sprites for split {split!r}; choose from {', '.join(SPLITS)}")
    if kind not in (None, *KINDS) or seed < 0:
        raise RequestError(f"kind {kind!r}, seed {seed}: choose a kind from {', '.join(KINDS)} and a seed from 0")
    rng = np.random.default_rng([SPLITS.index(split), seed, number])
    at_zero = [times[k] for k in labelled].index(0)
    for _ in range(ATTEMPTS):
        scene = draw_scene(rng, split, kind, cutouts)
        actors = scene.actors
        rivals, role = _rivals(scene), ROLES.get(scene.kind)
        alone = role if kind or rng.random() < ALONE else None
        told = {i: describe(actors, i, rng, alone if i in rivals else None) for i in range(len(actors))}
        if not any(told.values()):
            continue
        frames, masks, whole = render(scene, split, times, size, labelled, compress, cutouts)
        seen = clear_enough(masks[at_zero], whole[at_zero])
        sentences = {i: words for i, words in told.items() if words and seen[i]}
        wanted = rivals if kind and role else ()
        if sentences and all(i in sentences for i in wanted):
            return Clip(scene, sentences, frames, masks, whole)
    raise AssertionError(f"no scene of kind {kind!r} in {ATTEMPTS} attempts: the layout's numbers do not fit")


def clear_enough(masks: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """bool [A]: which actors show enough of themselves, in one frame's masks bool [A,R,R] and `whole` int64 [A]."""
    shown = masks.sum((1, 2))
    return (shown >= SMALLEST * masks[0].size) & (shown >= VISIBLE * np.maximum(whole, 1))


def _rivals(scene: Scene) -> list[int]:
    kinds = [actor.kind for actor in scene.actors]
    return [i for i, kind in enumerate(kinds) if kinds.count(kind) > 1]


def clip_times(frames: int, stride: int) -> np.ndarray:
    """The times of a network's clip around its target."""
    return np.array(clip_offsets(frames, stride))


def stream(
    split: str,
    seed: int,
    number: int,
    size: int,
    frames: int = CSTMConfig.frames,
    stride: int = CSTMConfig.stride,
    sentences: int = 2,
    kind: str | None = None,
    cutouts: Cutouts | None = None,
    absent: float = 0.0,
) -> list[Sample]:
    """Up to `sentences` samples of one clip, at the network's own size, for training: nothing touches the disk.

    absent: share of the samples that get the sentence of another scene, of nobody in this one, and an empty mask.
    """
    times = clip_times(frames, stride)
    clip = make_clip(split, seed, number, size, times, (frames // 2,), kind, cutouts=cutouts)
    pixels = np.ascontiguousarray(clip.frames.transpose(3, 0, 1, 2))
    rng = np.random.default_rng([seed, number])
    chosen = rng.permutation(list(clip.sentences))[:sentences]
    samples = [Sample(reference(clip, int(i), f"{number:06d}", 0), pixels, clip.masks[0, i]) for i in chosen]
    if not absent:
        return samples
    return [_of_nobody(sample, clip.scene, split, rng) if rng.random() < absent else sample for sample in samples]


def _of_nobody(sample: Sample, scene: Scene, split: str, rng: np.random.Generator) -> Sample:
    """The sample with a sentence of an actor, in another scene, of a class that nobody in this one might pass for."""
    here = {actor.kind for actor in scene.actors}
    here |= {"adult", "baby"} if here & {"adult", "baby"} else set()
    for _ in range(ATTEMPTS):
        actors = draw_scene(rng, split).actors
        for index in (i for i, actor in enumerate(actors) if actor.kind not in here):
            if told := describe(actors, index, rng):
                changed = Reference(sample.reference.video, 0, told.sentence, present=False)
                return Sample(changed, sample.clip, np.zeros_like(sample.mask))
    return sample


def reference(clip: Clip, actor: int, video: str, frame: int) -> Reference:
    """What an actor's sentence refers to in a frame of `video`."""
    one = clip.scene.actors[actor]
    return Reference(
        video, frame, clip.sentences[actor].sentence, str(actor), one.kind, one.action, clip.difficulty(actor)
    )
