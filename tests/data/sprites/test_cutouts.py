"""Photographic cut-outs beside the emoji, made up here."""

import zlib

import cv2
import numpy as np
import pytest

from cstm.data.sprites.cutouts import SIDE, TEST_SHARE, Cutouts, animate, named_colour, textures
from cstm.data.sprites.dataset import clip_times, make_clip, stream
from cstm.data.sprites.scene import draw_scene
from cstm.errors import DatasetError

TIMES = clip_times(8, 2)
RED, BROWN = (200, 20, 30), (110, 75, 45)


def names(test):
    """Names of stills that are for tests, or not."""
    wanted = (f"dog_{i}.png" for i in range(99))
    return [name for name in wanted if (zlib.crc32(name.encode()) % TEST_SHARE == 0) == test]


def picture(colour, height=40):
    image = np.zeros((height, 30, 4), np.uint8)
    image[4:-4, 4:-4] = (*colour[::-1], 255)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cutouts")
    for name in names(test=False)[:2]:
        cv2.imwrite(str(folder / name), picture(BROWN))
    cv2.imwrite(str(folder / names(test=True)[0]), picture(RED))
    for name in ("bird-flying_heron", "adult-female-walking_lucia"):
        (folder / name).mkdir()
        for number in range(5):
            cv2.imwrite(str(folder / name / f"{number:05d}.png"), picture(RED, 30 + 10 * number))
    (folder / "backgrounds").mkdir()
    for number in range(6):
        cv2.imwrite(str(folder / "backgrounds" / f"{number}.jpg"), np.full((60, 80, 3), 40 * number, np.uint8))
    return folder


def test_no_two_splits_share_a_cutout_or_a_background(folder):
    train, test = Cutouts(folder, "train"), Cutouts(folder, "test")
    files = [{s.file.name for members in c.sprites.values() for s in members} for c in (train, test)]
    assert files[0] == {*names(test=False)[:2], "bird-flying_heron"}
    assert files[1] == {names(test=True)[0], "adult-female-walking_lucia"}
    assert len(train.backgrounds) + len(test.backgrounds) == 6
    assert all((image == image[:, ::-1]).all() for image in train.backgrounds)


def test_a_name_says_what_is_known(folder):
    (lucia,) = Cutouts(folder, "test").sprites["adult"]
    assert (lucia.actor, lucia.sex, lucia.action, lucia.moving) == ("adult", "female", "walking", True)
    assert Cutouts(folder, "train").sprites["dog"][0].own_colour == "brown"


@pytest.mark.parametrize("name", ["camel_hump.png", "dog-swimming_rex.png"])
def test_a_name_that_means_nothing_is_refused(tmp_path, name):
    cv2.imwrite(str(tmp_path / name), picture(RED))
    with pytest.raises(DatasetError, match=r"camel|swimming"):
        Cutouts(tmp_path, "train")
    with pytest.raises(DatasetError, match="no cut-outs"):
        Cutouts(tmp_path / "nothing", "train")


def test_a_moving_actor_goes_through_its_frames_there_and_back(folder):
    (heron,) = Cutouts(folder, "train").sprites["bird"]
    own, shown = textures(heron, 48), animate(heron, 48, TIMES, np.zeros(8), first=3, tempo=0.5)
    order = [1, 0, 1, 2, 3, 4, 3, 2]
    assert all((shown[k] == own[i]).all() for k, i in enumerate(order))


def test_a_still_is_itself_at_the_target_and_bent_around_it(folder):
    dog = Cutouts(folder, "train").sprites["dog"][0]
    gait = np.array([0.1, 0.05, -0.05, 0.1, 0, 0.1, -0.1, 0.05])
    shown = animate(dog, 48, TIMES, gait, 0, 1.0)
    assert shown.shape == (8, 48, 48, 4) and (shown[4] == textures(dog, 48)[0]).all()
    assert all((shown[k] != shown[4]).any() for k in range(8) if k != 4)
    assert (shown[..., :3] <= shown[..., 3:]).all()


@pytest.mark.parametrize(("colour", "name"), [(RED, "red"), (BROWN, "brown"), ((20, 20, 20), "black")])
def test_a_colour_is_measured(colour, name):
    assert named_colour(cv2.cvtColor(picture(colour), cv2.COLOR_BGRA2RGBA)) == name


def test_a_coat_of_many_colours_has_none():
    rgba = np.full((30, 30, 4), 255, np.uint8)
    rgba[:, :10, :3], rgba[:, 10:20, :3] = RED, (20, 40, 200)
    assert named_colour(rgba) is None


def test_cutouts_act_in_scenes_and_the_same_numbers_make_the_same_clip(folder):
    cutouts = Cutouts(folder, "train")
    clips = [make_clip("train", 0, 5, 64, TIMES, (4,), cutouts=cutouts) for _ in range(2)]
    np.testing.assert_array_equal(clips[0].frames, clips[1].frames)
    scenes = [draw_scene(np.random.default_rng(seed), "train", "place", cutouts) for seed in range(40)]
    actors = [actor for scene in scenes for actor in scene.actors]
    assert all(actor.sprite.photo == (actor.kind in ("dog", "bird")) for actor in actors)
    assert all(actor.colour == actor.sprite.own_colour for actor in actors if actor.sprite.photo)


def test_rivals_that_differ_in_colour_are_two_photographs(folder, tmp_path):
    for name, colour in zip(names(test=False), (BROWN, (20, 20, 220)), strict=False):
        cv2.imwrite(str(tmp_path / name), picture(colour))
    cutouts = Cutouts(tmp_path, "train")
    for seed in range(60):
        scene = draw_scene(np.random.default_rng(seed), "train", "colour", cutouts)
        dogs = [actor for actor in scene.actors if actor.kind == "dog"]
        if len(dogs) == 2:
            assert {actor.colour for actor in dogs} == {"brown", "blue"}
            return
    raise AssertionError("no two dogs")


def test_a_sentence_of_nobody_has_an_empty_mask():
    samples = [sample for number in range(8) for sample in stream("train", 0, number, 64, absent=0.5)]
    absent = [sample for sample in samples if not sample.reference.present]
    assert 0 < len(absent) < len(samples)
    assert not any(s.mask.any() for s in absent) and all(s.mask.any() for s in samples if s.reference.present)
    assert SIDE >= 64
