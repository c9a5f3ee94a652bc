"""Scenes: who is where and does what. Positions and sizes are in frame sides, time is in frames from the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cstm.data.sample import ACTORS
from cstm.data.sprites.art import COLOURS, Sprite, alike, sprites
from cstm.data.sprites.motion import ACTIONS_OF, Motion, motion
from cstm.data.sprites.options import KINDS

ROLES = {"action": "verb", "colour": "colour", "place": "place", "size": "size"}  # what a sentence says of it
MOST_ACTORS = 5
# Dogs and such are as wide as tall; of each class, how tall it tends to be.
SIZES = {"adult": (0.20, 0.55), "baby": (0.18, 0.45), "ball": (0.12, 0.34), "car": (0.20, 0.50)}
ANIMAL_SIZE = (0.17, 0.46)

Look = tuple[Sprite, str | None, str]  # colour or None, and what it does


@dataclass(frozen=True)
class Actor:
    """One actor: its looks, its pose in the target frame, and its motion.

    size: of its square, in frame sides. x, y: its centre. angle: degrees. aspect: width over height, 1 as drawn.
    mirrored: faces the right. shadow: how far below its centre, in its sizes, or None.
    """

    sprite: Sprite
    colour: str | None
    action: str
    motion: Motion
    x: float
    y: float
    size: float
    angle: float
    aspect: float
    mirrored: bool
    shadow: float | None

    @property
    def kind(self) -> str:
        """Its class."""
        return self.sprite.actor


@dataclass(frozen=True)
class Scene:
    """Actors from back to front, and which background, camera and sensor, as numbers that `render` reads.

    kind: of KINDS. background: index. crop: (x, y, height) of the view on the panorama, in its heights. pan: camera
    drift in frame sides a frame. shake: its deviation. seed: of noise and shake.
    """

    actors: tuple[Actor, ...]
    kind: str
    background: int
    crop: tuple[float, float, float]
    pan: tuple[float, float]
    shake: float
    seed: int


def draw_scene(rng: np.random.Generator, split: str, kind: str | None = None) -> Scene:
    """A random scene of two to five actors. kind: of KINDS, or None for any, as often as KINDS says."""
    kind = kind or rng.choice(list(KINDS), p=list(KINDS.values()))
    looks = _rivals(rng, split, kind) if kind != "free" else []
    count = int(rng.choice((2, 3, 4, MOST_ACTORS), p=(0.3, 0.35, 0.22, 0.13)))
    while len(looks) < count:
        # Somebody of another class, so that the rivals stay two; of any class where there are none.
        taken = {look[0].actor for look in looks} if kind != "free" else set()
        looks.append(_look(rng, split, rng.choice([a for a in ACTORS if a not in taken])))
    shadows = rng.random() < 0.5
    actors = [_place(rng, look, shadows) for look in looks]
    if kind == "place":
        actors[:2] = _apart(rng, actors[:2])
    if kind == "size":
        actors[:2] = _unlike(rng, actors[:2])
    actors = [actors[i] for i in rng.permutation(len(actors))]
    height = rng.uniform(0.4, 0.85)
    crop = (rng.uniform(0, 2), rng.uniform(0, 1 - height), height)
    pan = tuple(rng.normal(0, (0.003, 0.0008))) if rng.random() < 0.5 else (0.0, 0.0)
    shake = rng.choice((0.0, 0.002, 0.005), p=(0.4, 0.4, 0.2))
    return Scene(tuple(actors), kind, int(rng.integers(1 << 16)), crop, pan, float(shake), int(rng.integers(1 << 31)))


def _look(
    rng: np.random.Generator,
    split: str,
    actor: str,
    colour: str | None = "any",
    action: str | None = None,
    sprite: Sprite | None = None,
) -> Look:
    choices = sprites(split)[actor]
    sprite = sprite or choices[rng.integers(len(choices))]
    if colour == "any":
        colour = str(rng.choice(list(COLOURS))) if rng.random() < 0.72 else None
    return sprite, colour, action or str(rng.choice(ACTIONS_OF[actor]))


def _rivals(rng: np.random.Generator, split: str, kind: str) -> list[Look]:
    """The looks of two of a class that differ in what `kind` names and, but for pose and size, in nothing else."""
    actor = str(rng.choice(ACTORS))
    sprite, colour, action = _look(rng, split, actor)
    other_action = str(rng.choice([a for a in ACTIONS_OF[actor] if a != action])) if kind == "action" else action
    if kind == "colour":
        colour = colour or "red"
        other_colour: str | None = str(rng.choice([c for c in COLOURS if not alike(c, colour)]))
    else:
        other_colour = colour
    return [(sprite, colour, action), _look(rng, split, actor, other_colour, other_action, sprite)]


def _place(rng: np.random.Generator, look: Look, shadows: bool) -> Actor:
    sprite, colour, action = look
    low, high = SIZES.get(sprite.actor, ANIMAL_SIZE)
    return Actor(
        sprite,
        colour,
        action,
        motion(action, rng),
        x=rng.uniform(0.1, 0.9),
        y=rng.uniform(0.15, 0.85),
        size=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        angle=rng.uniform(-20, 20),
        aspect=rng.uniform(0.85, 1.18),
        mirrored=bool(rng.random() < 0.5),
        shadow=rng.uniform(0.42, 0.7) if shadows else None,
    )


def _apart(rng: np.random.Generator, pair: list[Actor]) -> list[Actor]:
    near, far = rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)
    if rng.random() < 0.75:
        return [replace(pair[0], x=near), replace(pair[1], x=far)]
    return [replace(pair[0], y=near), replace(pair[1], y=far)]


def _unlike(rng: np.random.Generator, pair: list[Actor]) -> list[Actor]:
    low, high = SIZES.get(pair[0].kind, ANIMAL_SIZE)
    small = rng.uniform(low, low * 1.15)
    return [replace(pair[0], size=small), replace(pair[1], size=min(high * 1.1, small * rng.uniform(1.8, 2.4)))]
