"""Sentences about somebody who is not there."""

from dataclasses import replace

import numpy as np

from cstm.data.sprites.absent import NO_CLASS, NO_DETAIL, first_absent, questions
from cstm.data.sprites.dataset import make_clip
from cstm.data.sprites.sentences import describe

TIMES, LABELLED = np.zeros(1), (0,)


def test_the_absent_are_true_of_nobody_and_the_present_of_one():
    asked = list(questions("train", 5, 12, 64, TIMES, LABELLED))
    assert len(asked) >= 10
    for question in asked:
        own = question.clip.sentences[question.actor]
        assert own.sentence == question.sentences[0]
        if own.stands_alone:
            assert own.fits(question.clip.scene.actors[question.actor])


def told_by(role, *actors):
    """What is said of the first of the actors by its noun and `role` alone."""
    told = (describe(actors, 0, np.random.default_rng(seed), role) for seed in range(50))
    return next(said for said in told if said and role in said.says)


def test_absent_by_class_by_a_detail_or_not_at_all(make_actor, make_scene):
    red, blue, dog = make_actor("cat", colour="red"), make_actor("cat", colour="blue"), make_actor("dog")
    said = told_by("colour", red, blue)
    clip = make_clip("train", 0, 0, 64, TIMES, LABELLED)
    for actors, kind in (((blue, dog), NO_DETAIL), ((dog,), NO_CLASS), ((red, dog), None)):
        scene = replace(clip, scene=make_scene(*actors))
        found = {wanted for wanted in (NO_CLASS, NO_DETAIL) if first_absent(scene, [said], wanted)}
        assert found == {kind} - {None}


def test_what_compares_is_told_of_no_other_scene(make_actor, make_scene):
    said = told_by("size", make_actor("dog", size=0.5), make_actor("dog", size=0.2))
    clip = replace(make_clip("train", 0, 0, 64, TIMES, LABELLED), scene=make_scene(make_actor("car")))
    assert first_absent(clip, [said], NO_CLASS) is None
