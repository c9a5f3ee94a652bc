"""Clips with sentences about somebody who is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cstm.data.sprites.dataset import Clip, make_clip
from cstm.data.sprites.sentences import Description

KINDS = PRESENT, NO_CLASS, NO_DETAIL = "present", "no such class", "no such detail"


@dataclass(frozen=True)
class Question:
    """A clip and three sentences, of KINDS: one of its actors' own; one of a class that nobody there has; and one of a
    class that is there, with an action, a colour or a place that its actors have not.

    actor: the index of the present one.
    """

    clip: Clip
    sentences: tuple[str, str, str]
    actor: int


def questions(
    split: str, seed: int, count: int, size: int, times: np.ndarray, labelled: tuple[int, ...]
) -> Iterator[Question]:
    """A question from each of `count` clips, the arguments as in `make_clip`; the absent are other clips' actors.

    A clip for which those hold no absent one of both kinds is left out.
    """
    clips = [make_clip(split, seed, number, size, times, labelled) for number in range(count)]
    for number, clip in enumerate(clips):
        order = np.random.default_rng([seed, number]).permutation(count)
        told = [said for other in order if other != number for said in clips[other].sentences.values()]
        of_class, of_detail = (first_absent(clip, told, kind) for kind in (NO_CLASS, NO_DETAIL))
        actor, own = next(iter(clip.sentences.items()))
        if of_class and of_detail:
            yield Question(clip, (own.sentence, of_class.sentence, of_detail.sentence), actor)


def first_absent(clip: Clip, told: Iterable[Description], kind: str) -> Description | None:
    """The first of other scenes' descriptions that is true of nobody in the clip, seen or hidden; None without any.

    kind: NO_CLASS, as nobody is of its noun, or NO_DETAIL, as those who are have not the rest. What compares with
    others of its own scene cannot be told of another.
    """
    for said in told:
        noun = said.said[0]
        named = any(noun.fits(actor) for actor in clip.scene.actors)
        absent = not any(said.fits(actor) for actor in clip.scene.actors)
        if said.stands_alone and absent and named == (kind == NO_DETAIL):
            return said
    return None
