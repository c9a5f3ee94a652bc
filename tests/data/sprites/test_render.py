"""Pixels and masks of scenes: no still frame tells an action, who is in front hides who is behind."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cstm.data.sprites import render as render_module
from cstm.data.sprites.dataset import clip_times
from cstm.data.sprites.motion import ACTIONS_OF, PERIOD, Motion, motion
from cstm.data.sprites.options import SPLITS
from cstm.data.sprites.render import render
from cstm.data.sprites.scene import draw_scene

SIZE, TIMES, TARGET = 80, clip_times(8, 2), 4
NOW = np.array([0])


def draw(scene, times=TIMES, labelled=(TARGET,), split="train", size=SIZE):
    return render(scene, split, times, size, labelled)


def centre(mask):
    """(x, y) in frame sides."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()]) / len(mask)


def other_doings(scene, seed):
    """The scene with every actor at something else, as its class may be."""
    rng = np.random.default_rng(seed)
    actors = []
    for actor in scene.actors:
        action = str(rng.choice([a for a in ACTIONS_OF[actor.kind] if a != actor.action]))
        actors.append(replace(actor, action=action, motion=motion(action, rng)))
    return replace(scene, actors=tuple(actors))


@pytest.mark.parametrize("split", SPLITS)
def test_the_target_frame_is_the_same_whatever_the_actors_do(split):
    rng = np.random.default_rng(11)
    for seed in range(12):
        scene = draw_scene(rng, split)
        frames, masks, whole = draw(scene, split=split)
        others, other_masks, other_whole = draw(other_doings(scene, seed), split=split)
        assert (frames[TARGET] == others[TARGET]).all()
        assert (masks == other_masks).all() and (whole == other_whole).all()
        assert (frames[TARGET + 1] != others[TARGET + 1]).any()


def test_exchanged_doings_leave_the_target_as_it_is():
    scene = draw_scene(np.random.default_rng(2), "train", "action")
    doings = [(actor.action, actor.motion) for actor in scene.actors]
    actors = [replace(a, action=d[0], motion=d[1]) for a, d in zip(scene.actors, doings[::-1], strict=True)]
    frames, masks, _ = draw(scene)
    others, other_masks, _ = draw(replace(scene, actors=tuple(actors)))
    assert (frames[TARGET] == others[TARGET]).all() and (masks == other_masks).all()
    assert (frames[TARGET + 1] != others[TARGET + 1]).any()


def test_without_drift_everybody_is_back_after_a_period():
    times, labelled = np.arange(-PERIOD, PERIOD + 1), (0, PERIOD, 2 * PERIOD)
    rng = np.random.default_rng(4)
    for _ in range(8):
        scene = replace(draw_scene(rng, "train"), pan=(0.0, 0.0), shake=0.0)
        actors = tuple(replace(a, motion=replace(a.motion, drift=(0.0, 0.0))) for a in scene.actors)
        _, masks, _ = draw(replace(scene, actors=actors), times, labelled)
        assert (masks[0] != masks[1]).sum() <= 4 and (masks[2] != masks[1]).sum() <= 4


def test_the_same_scene_gives_the_same_pixels():
    scene = draw_scene(np.random.default_rng(5), "test")
    assert all((a == b).all() for a, b in zip(draw(scene), draw(scene), strict=True))


def test_shapes_and_types():
    scene = draw_scene(np.random.default_rng(6), "train")
    frames, masks, whole = draw(scene, labelled=(0, TARGET))
    actors = len(scene.actors)
    assert frames.shape == (8, SIZE, SIZE, 3) and frames.dtype == np.uint8
    assert masks.shape == (2, actors, SIZE, SIZE) and masks.dtype == bool
    assert whole.shape == (2, actors) and whole.dtype == np.int64


def test_masks_do_not_overlap_and_are_no_more_than_the_whole():
    rng = np.random.default_rng(7)
    for _ in range(12):
        _, masks, whole = draw(draw_scene(rng, "train"), labelled=(0, TARGET, 7))
        assert masks.sum(1).max() <= 1
        assert (masks.sum((2, 3)) <= whole).all()


def test_the_front_actor_hides_the_one_behind(make_actor, make_scene):
    back = make_actor("car", colour="blue", size=0.5)
    front = make_actor("ball", colour="red", size=0.25)
    _, alone, _ = draw(make_scene(front))
    _, (masks,), (whole,) = draw(make_scene(back, front))
    assert (masks[1] == alone[0, 0]).all() and whole[1] == masks[1].sum()
    assert not (masks[0] & masks[1]).any() and masks[0].sum() < whole[0]
    _, (swapped,), (swapped_whole,) = draw(make_scene(front, back))
    assert swapped[1].sum() == whole[0] == swapped_whole[1] and swapped[0].sum() < swapped_whole[0]


@pytest.mark.parametrize("place", [{"x": -2.0}, {"x": 3.0}, {"y": -2.0}, {"y": 3.0}])
def test_an_actor_outside_the_frame_draws_nothing(place, make_actor, make_scene, clean_lens):
    inside = make_actor("dog", size=0.3)
    outside = make_actor("cat", colour="red", shadow=0.5, **place)
    frames, masks, _ = draw(make_scene(inside))
    others, other_masks, whole = draw(make_scene(inside, outside))
    assert (frames == others).all() and (masks[0, 0] == other_masks[0, 0]).all()
    assert not other_masks[0, 1].any() and whole[0, 1] == 0


@pytest.mark.parametrize(("x", "y", "angle"), [(0.5, 0.5, 0), (0.05, 0.4, 20), (0.7, 0.97, -15)])
def test_a_mask_is_where_the_pixels_change(x, y, angle, make_actor, make_scene, clean_lens):
    far = make_actor("ball", x=-3.0)
    there = make_actor("ball", colour="red", x=x, y=y, angle=float(angle), size=0.4)
    empty, _, _ = draw(make_scene(far), NOW, (0,))
    full, (mask,), _ = draw(make_scene(there), NOW, (0,))
    changed = np.abs(full[0].astype(int) - empty[0]).max(-1) > 12
    assert mask[0].sum() > 100
    assert (changed & mask[0]).sum() > 0.97 * mask[0].sum()
    around = cv2.dilate(mask[0].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not (changed & ~around).any()


def test_an_actor_is_where_and_as_large_as_the_scene_says(make_actor, make_scene):
    for x, y, size in ((0.3, 0.6, 0.2), (0.6, 0.4, 0.5)):
        _, (mask,), _ = draw(make_scene(make_actor("ball", x=x, y=y, size=size)), size=160)
        rows, columns = np.nonzero(mask[0])
        np.testing.assert_allclose(centre(mask[0]), (x, y), atol=0.02)
        assert np.ptp(rows) / 160 == pytest.approx(size, abs=0.03) == np.ptp(columns) / 160


@pytest.mark.parametrize("mirrored", [False, True])
def test_actors_go_where_they_face(mirrored, make_actor, make_scene):
    middle = 0.5 - 0.5 / SIZE  # between the two middle columns
    walker = make_actor("dog", mirrored=mirrored, motion=Motion((0.03, 0.01)), x=middle)
    _, masks, _ = draw(make_scene(walker), np.array([-6, 0, 6]), (0, 1, 2))
    before, now, after = (centre(mask[0]) for mask in masks)
    forward = 0.18 if mirrored else -0.18
    np.testing.assert_allclose(after - now, (forward, -0.06), atol=0.015)
    np.testing.assert_allclose(now - before, (forward, -0.06), atol=0.015)
    left = make_scene(replace(walker, mirrored=not mirrored))
    _, flipped, _ = draw(left, NOW, (0,))
    overlap = flipped[0, 0][:, ::-1] & masks[1, 0]
    assert overlap.sum() > 0.9 * masks[1, 0].sum()


def test_a_shadow_stays_on_the_ground_while_its_actor_hops(make_actor, make_scene, clean_lens, monkeypatch):
    hopper = make_actor("ball", shadow=0.6, motion=Motion(bounce=1.0))
    scene = make_scene(hopper)
    _, masks, _ = draw(scene, labelled=range(8))
    heights = [centre(mask[0])[1] for mask in masks]
    assert max(heights) - min(heights) > 0.15
    shaded = replace(scene, actors=(replace(hopper, shadow=None),))
    monkeypatch.setattr(render_module, "_draw", lambda *_: None)
    frames, _, _ = draw(scene)
    bare, _, _ = draw(shaded)
    assert (frames == frames[0]).all()
    dark = (frames[0].astype(int) < bare[0]).any(-1)
    assert dark.any() and (frames[0] <= bare[0]).all()
    np.testing.assert_allclose(centre(dark), (0.5, 0.5 + 0.6 * 0.3), atol=0.03)


def test_the_camera_moves_actors_and_ground_alike(make_actor, make_scene, clean_lens):
    still = make_actor("ball", colour="red", size=0.2)
    frames, masks, _ = draw(make_scene(still, pan=(0.0125, 0.0)), np.array([0, 8]), (0, 1))
    moved = round(0.1 * SIZE)
    np.testing.assert_allclose(centre(masks[0, 0]) - centre(masks[1, 0]), (0.1, 0), atol=0.01)
    difference = np.abs(frames[0][:, moved:].astype(int) - frames[1][:, :-moved])
    assert np.percentile(difference, 95) <= 8


def test_a_still_camera_shakes_in_no_target_frame(make_actor, make_scene, clean_lens):
    scene = make_scene(make_actor("ball"))
    shaken = replace(scene, shake=0.05)
    assert (draw(scene)[0][TARGET] == draw(shaken)[0][TARGET]).all()
    assert (draw(scene)[0][TARGET + 1] != draw(shaken)[0][TARGET + 1]).any()
