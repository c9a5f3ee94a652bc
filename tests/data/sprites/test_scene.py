"""Who is in a scene, and what tells its doubles apart."""

import numpy as np
import pytest

from cstm.data.sprites.art import sprites
from cstm.data.sprites.motion import ACTIONS_OF
from cstm.data.sprites.options import KINDS, SPLITS
from cstm.data.sprites.scene import draw_scene

SCENES = 80


def scenes(kind=None, split="train"):
    rng = np.random.default_rng(3)
    return [draw_scene(rng, split, kind) for _ in range(SCENES)]


def doubles(scene):
    """The two actors of one class."""
    kinds = [actor.kind for actor in scene.actors]
    found = [actor for actor in scene.actors if kinds.count(actor.kind) > 1]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("split", SPLITS)
def test_two_to_five_actors_do_what_their_class_may_do(split):
    made = scenes(split=split)
    assert {len(scene.actors) for scene in made} == {2, 3, 4, 5}
    for scene in made:
        for actor in scene.actors:
            assert actor.action in ACTIONS_OF[actor.kind] and actor.sprite in sprites(split)[actor.kind]
            assert 0 < actor.x < 1 and 0 < actor.y < 1 and 0.1 < actor.size < 0.6


def test_every_kind_is_drawn_as_often_as_it_should_be():
    rng = np.random.default_rng(0)
    kinds = [draw_scene(rng, "train").kind for _ in range(600)]
    assert sum(KINDS.values()) == pytest.approx(1)
    for kind, share in KINDS.items():
        assert kinds.count(kind) / len(kinds) == pytest.approx(share, abs=0.07)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "free"])
def test_doubles_share_what_their_kind_does_not_name(kind):
    for scene in scenes(kind):
        assert scene.kind == kind
        one, other = doubles(scene)
        assert one.sprite == other.sprite
        assert (one.action == other.action) == (kind != "action")
        assert (one.colour == other.colour) == (kind != "colour")


def test_doubles_that_differ_in_colour_have_one():
    assert all(actor.colour for scene in scenes("colour") for actor in doubles(scene))


def test_doubles_that_differ_in_place_are_apart():
    for scene in scenes("place"):
        one, other = doubles(scene)
        for axis in ("x", "y"):
            low, high = sorted((getattr(one, axis), getattr(other, axis)))
            if low < 0.4 and high > 0.6:
                break
        else:
            pytest.fail(f"{one} {other}")


def test_doubles_that_differ_in_size_are_half_as_large_again():
    for scene in scenes("size"):
        small, large = sorted(actor.size for actor in doubles(scene))
        assert large > 1.5 * small


def test_who_is_in_front_says_nothing():
    first = [scene.actors[0] in doubles(scene) for scene in scenes("action") if len(scene.actors) == 4]
    assert 0.2 < np.mean(first) < 0.8


def test_the_pose_says_nothing_of_the_action():
    rng = np.random.default_rng(1)
    actors = [actor for _ in range(700) for actor in draw_scene(rng, "train").actors]
    for field, spread in (("x", 0.8), ("y", 0.7), ("angle", 40), ("aspect", 0.33), ("mirrored", 1)):
        values = np.array([getattr(actor, field) for actor in actors], float)
        for action in {actor.action for actor in actors}:
            own = values[[actor.action == action for actor in actors]]
            # Four standard errors of a uniform spread.
            allowed = 4 * spread * 0.5 / np.sqrt(len(own))
            assert own.mean() == pytest.approx(values.mean(), abs=allowed), (field, action)


def test_the_same_numbers_draw_the_same_scene():
    assert scenes() == scenes()
    assert scenes()[0] != scenes()[1]
