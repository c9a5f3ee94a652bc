"""Actors and scenes by hand, and the lens without its faults."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("cv2") else ["test_*.py"]


@pytest.fixture
def make_actor():
    """Makes an actor that stands in the middle, but for what is given; `sprite` is the number of one of its class."""
    from cstm.data.sprites.art import sprites
    from cstm.data.sprites.motion import Motion
    from cstm.data.sprites.scene import Actor

    plain = Actor(None, None, "none", Motion(), 0.5, 0.5, 0.3, 0.0, 1.0, False, None)

    def make(kind="dog", split="train", sprite=0, **fields):
        return replace(plain, sprite=sprites(split)[kind][sprite], **fields)

    return make


@pytest.fixture
def make_scene():
    """Makes a scene, seen from a camera at rest, of actors from back to front."""
    from cstm.data.sprites.scene import Scene

    def make(*actors, **fields):
        return replace(Scene(actors, "free", 3, (0.2, 0.2, 0.6), (0.0, 0.0), 0.0, 7), **fields)

    return make


@pytest.fixture
def clean_lens(monkeypatch):
    """Frames as drawn: no noise, exposure, blur nor compression."""
    from cstm.data.sprites import render

    monkeypatch.setattr(render, "_sensor", lambda frames, rng, compress: frames)
