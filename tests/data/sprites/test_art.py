"""Which art a split may show, and what a tint does."""

from itertools import combinations

import numpy as np
import pytest

from cstm.data.sample import ACTORS
from cstm.data.sprites import art
from cstm.data.sprites.art import ALIKE, COLOURS, NOUNS, alike, backgrounds, sprites, texture
from cstm.data.sprites.options import SPLITS


def files(split):
    return {sprite.file for members in sprites(split).values() for sprite in members}


@pytest.mark.parametrize("split", SPLITS)
def test_every_class_has_a_sprite(split):
    assert tuple(sprites(split)) == ACTORS and all(sprites(split).values())
    assert all(sprite.actor == actor for actor, members in sprites(split).items() for sprite in members)


def test_no_two_splits_share_a_sprite():
    for one, other in combinations(SPLITS, 2):
        assert not files(one) & files(other)
        assert not {file.read_bytes() for file in files(one)} & {file.read_bytes() for file in files(other)}


def test_train_and_test_share_no_background():
    pictures = {split: {image.tobytes() for image in backgrounds(split)} for split in SPLITS}
    assert pictures["train"] and pictures["test"]
    assert not pictures["train"] & (pictures["test"] | pictures["test-style"])
    everything = list((art.ART / "backgrounds").glob("*.jpg"))
    assert len(backgrounds("train")) + len(backgrounds("test")) == len(everything)


def test_only_the_style_split_shows_the_other_style():
    assert {split: {file.parent.name for file in files(split)} for split in SPLITS} == {
        "train": {"fluent"},
        "test": {"fluent"},
        "test-style": {"noto"},
    }


def test_every_prefix_of_the_test_split_names_art():
    names = [file.name for folder in ("fluent", "backgrounds") for file in (art.ART / folder).iterdir()]
    for prefix in art.TEST_SPRITES + art.TEST_BACKGROUNDS:
        assert any(name.startswith(prefix) for name in names), prefix


def test_every_noun_of_its_own_names_a_sprite():
    nouns = {sprite.noun for split in SPLITS for members in sprites(split).values() for sprite in members}
    assert nouns == {None, *NOUNS}


def test_only_adults_have_a_sex():
    for split in SPLITS:
        for actor, members in sprites(split).items():
            sexes = {sprite.sex for sprite in members}
            assert sexes >= {"male", "female"} if actor == "adult" else sexes == {None}


def test_alike_colours_are_known_pairs_and_an_untinted_actor_is_like_any():
    assert all(pair <= set(COLOURS) and len(pair) == 2 for pair in ALIKE)
    for one, other in combinations(COLOURS, 2):
        assert alike(one, other) == alike(other, one) == ({one, other} in ALIKE)
    for colour in COLOURS:
        assert alike(colour, colour) and alike(colour, None) and alike(None, colour)


def test_colours_that_are_close_are_alike():
    for one, other in combinations(COLOURS, 2):
        distance = np.abs(np.subtract(COLOURS[one], COLOURS[other])).max()
        assert distance > 60 or alike(one, other), (one, other)


@pytest.mark.parametrize("split", SPLITS)
def test_a_tint_shows_on_every_sprite(split):
    for members in sprites(split).values():
        for sprite in members:
            red, blue = (texture(sprite, colour, 48).astype(int) for colour in ("red", "blue"))
            assert (red[..., 3] == blue[..., 3]).all()
            solid = red[..., 3] > 127
            tinted = solid & (red[..., 0] > red[..., 2] + 40) & (blue[..., 2] > blue[..., 0] + 40)
            assert tinted.sum() > 0.25 * solid.sum(), sprite.file.name


def test_colours_of_a_texture_are_multiplied_by_its_alpha():
    for colour in (None, "white"):
        image = texture(sprites("train")["ball"][0], colour, 24)
        assert image.shape == (24, 24, 4) and image.dtype == np.uint8
        assert (image[..., :3] <= image[..., 3:]).all() and (image[..., 3] == 0).any() and (image[..., 3] == 255).any()
