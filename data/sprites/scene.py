"""Scenes: who is where and does what. Positions and sizes are in frame sides, time is in frames from the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cstm.data.sample import ACTORS
from cstm.data.sprites.art import COLOURS, Sprite, alike, sprites
from cstm.data.sprites.cutouts import Cutouts
from cstm.data.sprites.motion import ACTIONS_OF, Motion, motion
from cstm.data.sprites.options import KINDS

ROLES = {"action": "verb", "colour": "colour", "place": "place", "size": "size"}  # what a sentence says of it
MOST_ACTORS = 5
# Dogs and such are as wide as tall; of each class, how tall it tends to be.
SIZES = {"adult": (0.20, 0.55), "baby": (0.18, 0.45), "ball": (0.12, 0.34), "car": (0.20, 0.50)}
ANIMAL_SIZE = (0.17, 0.46)
LARGEST = 0.6

Look = tuple[Sprite, str | None, str | None]  # colour or None, and what it does, or None


@dataclass(frozen=True)
class Actor:
    """One actor: its looks, its pose in the target frame, and its motion.

    size: of its square, in frame sides. x, y: its centre. angle: degrees. aspect: width over height, 1 as drawn.
    mirrored: faces the right. shadow: how far below its centre, in its sizes, or None. growth: by what share it gets
    larger a frame, as it comes nearer. first, tempo: of a moving cut-out's frames, the one at time 0, and how many pass
    in one.
    """

    sprite: Sprite
    colour: str | None
    action: str | None
    motion: Motion
    x: float
    y: float
    size: float
    angle: float
    aspect: float
    mirrored: bool
    shadow: float | None
    growth: float = 0.0
    first: int = 0
    tempo: float = 1.0

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


def draw_scene(rng: np.random.Generator, split: str, kind: str | None = None, cutouts: Cutouts | None = None) -> Scene:
    """A random scene of two to five actors. kind: of KINDS, or None for any, as often as KINDS says.

    cutouts: what some of the actors are taken from; without, all are emoji.
    """
    kind = kind or rng.choice(list(KINDS), p=list(KINDS.values()))
    cast = _Cast(rng, split, cutouts)
    looks = cast.rivals(kind) if kind != "free" else []
    count = int(rng.choice((2, 3, 4, MOST_ACTORS), p=(0.3, 0.35, 0.22, 0.13)))
    while len(looks) < count:
        # Somebody of another class, so that the rivals stay two; of any class where there are none.
        taken = {look[0].actor for look in looks} if kind != "free" else set()
        looks.append(cast.look(rng.choice([a for a in ACTORS if a not in taken])))
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


class _Cast:
    """Draws what actors look like and do."""

    def __init__(self, rng: np.random.Generator, split: str, cutouts: Cutouts | None):
        self.rng, self.emoji, self.cutouts = rng, sprites(split), cutouts

    def look(
        self, actor: str, colour: str | None = "any", action: str | None = None, sprite: Sprite | None = None
    ) -> Look:
        """One of the class `actor`, with what is given."""
        rng = self.rng
        if sprite is None:
            choices = self._choices(actor)
            sprite = choices[rng.integers(len(choices))]
        if sprite.moving:
            return sprite, sprite.own_colour, sprite.action
        if sprite.photo:
            colour = sprite.own_colour
        elif colour == "any":
            colour = str(rng.choice(list(COLOURS))) if rng.random() < 0.72 else None
        return sprite, colour, action or str(rng.choice(ACTIONS_OF[actor]))

    def _choices(self, actor: str) -> tuple[Sprite, ...]:
        if self.cutouts is None or not self.cutouts.sprites[actor] or self.rng.random() >= self.cutouts.share:
            return self.emoji[actor]
        return self.cutouts.sprites[actor]

    def rivals(self, kind: str) -> list[Look]:
        """The looks of two of a class that differ in what `kind` names and, but for pose and size, in nothing else;
        two photographs that differ in colour are of two actors."""
        rng, actor = self.rng, str(self.rng.choice(ACTORS))
        sprite, colour, action = self.look(actor)
        if (sprite.moving and kind == "action") or (sprite.photo and kind == "colour" and not self._unlike(sprite)):
            sprite, colour, action = self.look(actor, sprite=self.emoji[actor][rng.integers(len(self.emoji[actor]))])
        other_action = str(rng.choice([a for a in ACTIONS_OF[actor] if a != action])) if kind == "action" else action
        if kind != "colour":
            return [(sprite, colour, action), self.look(actor, colour, other_action, sprite)]
        if sprite.photo:
            others = self._unlike(sprite)
            return [(sprite, colour, action), self.look(actor, None, action, others[rng.integers(len(others))])]
        colour = colour or "red"
        other_colour = str(rng.choice([c for c in COLOURS if not alike(c, colour)]))
        return [(sprite, colour, action), self.look(actor, other_colour, other_action, sprite)]

    def _unlike(self, sprite: Sprite) -> list[Sprite]:
        """Cut-outs of the same class in a colour that nobody takes for this one's."""
        assert self.cutouts
        return [s for s in self.cutouts.sprites[sprite.actor] if not alike(s.own_colour, sprite.own_colour)]


def _place(rng: np.random.Generator, look: Look, shadows: bool) -> Actor:
    sprite, colour, action = look
    low, high = SIZES.get(sprite.actor, ANIMAL_SIZE)
    actor = Actor(
        sprite,
        colour,
        action,
        motion(action, rng) if action else Motion((rng.uniform(-0.02, 0.02), 0)),
        x=rng.uniform(0.1, 0.9),
        y=rng.uniform(0.15, 0.85),
        size=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        angle=rng.uniform(-20, 20),
        aspect=rng.uniform(0.85, 1.18),
        mirrored=bool(rng.random() < 0.5),
        shadow=rng.uniform(0.42, 0.7) if shadows else None,
    )
    return _photographed(rng, actor) if sprite.photo else actor


def _photographed(rng: np.random.Generator, actor: Actor) -> Actor:
    """What only photographs do: stand upright, come nearer, and where they are moving, move of their own."""
    own = actor.motion
    if actor.sprite.moving:
        own = replace(own, bounce=own.bounce if actor.action == "jumping" else 0.0, swing=0.0, turn=0.0, squash=0.0)
    return replace(
        actor,
        motion=own,
        angle=0.4 * actor.angle,
        size=min(1.25 * actor.size, LARGEST),
        growth=float(rng.normal(0, 0.008)),
        first=int(rng.integers(1 << 10)),
        tempo=float(rng.uniform(0.5, 1.2)),
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
