"""True sentences that single one actor out, in the forms and words of A2D's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from cstm.data.sprites.art import alike
from cstm.data.sprites.scene import Actor

NOUNS = {
    "adult": ("person", "person", "adult"),
    "male": ("man", "man", "man", "guy", "boy", "person"),
    "female": ("woman", "woman", "woman", "girl", "lady", "person"),
    "baby": ("baby", "baby", "baby", "toddler", "child", "kid"),
    "ball": ("ball",),
    "bird": ("bird",),
    "car": ("car", "car", "car", "vehicle"),
    "cat": ("cat", "cat", "cat", "kitten"),
    "dog": ("dog", "dog", "dog", "puppy"),
}
# Nouns that may also be said of others: who must then be told apart.
MEMBERS = {"person": ("adult",), "adult": ("adult",), "child": ("baby", "adult"), "kid": ("baby", "adult")}
VERBS = {
    "walking": ("walking", "walking", "walking", "strolling"),
    "running": ("running", "running", "running", "sprinting"),
    "crawling": ("crawling", "crawling", "crawling slowly"),
    "climbing": ("climbing", "climbing up", "climbing"),
    "jumping": ("jumping", "jumping up and down", "jumping", "hopping", "bouncing"),
    "rolling": ("rolling", "rolling", "rolling over", "turning over", "tumbling"),
    "flying": ("flying", "flying", "flying in the air"),
    "eating": ("eating", "eating", "eating food"),
    "none": ("standing still", "standing", "not moving", "staying still"),
}
OWN_VERBS = {
    ("ball", "none"): ("lying still", "not moving", "staying still"),
    ("car", "none"): ("parked", "not moving", "standing still"),
    ("baby", "none"): ("sitting", "sitting still", "not moving"),
    ("car", "running"): ("running", "racing", "driving fast"),
    ("ball", "jumping"): ("jumping", "bouncing", "bouncing up and down"),
    ("bird", "eating"): ("eating", "eating", "pecking"),
}
PLACES = {
    "left": ("on the left", "on the left", "on the left side", "to the left", "at the left"),
    "right": ("on the right", "on the right", "on the right side", "to the right", "at the right"),
    "top": ("at the top", "on the top", "in the upper part"),
    "bottom": ("at the bottom", "on the bottom", "in the lower part"),
    "middle": ("in the middle", "in the center", "in the middle"),
}
MARGIN = 0.15  # by how much two places differ, in frame sides
NEAR, FAR = 0.33, 0.5


@dataclass(frozen=True)
class Trait:
    """A true thing to say of an actor. fits: whether it might be said of another one."""

    role: str
    words: str
    fits: Callable[[Actor], bool]


@dataclass(frozen=True)
class Description:
    """sentence: what is said of an actor. said: the traits in it, the noun's first."""

    sentence: str
    said: tuple[Trait, ...] = field(compare=False)

    @property
    def lasting(self) -> bool:
        """Whether it stays true when everybody has moved on."""
        return self.says.isdisjoint(("place", "relation"))

    @property
    def says(self) -> set[str]:
        """The roles of its traits."""
        return {trait.role for trait in self.said}

    @property
    def stands_alone(self) -> bool:
        """Whether it compares its actor with nobody else of the scene."""
        return self.says.isdisjoint(("size", "relation"))

    def fits(self, other: Actor) -> bool:
        """Whether all of it might be said of another actor: of this scene or, where it `stands_alone`, of any."""
        return all(trait.fits(other) for trait in self.said)


def describe(
    actors: tuple[Actor, ...], index: int, rng: np.random.Generator, by: str | None = None
) -> Description | None:
    """What fits actor `index` and no other, or None where the traits at hand do not tell it apart.

    by: the only role ("verb", "colour", "place", "size") that may be said besides the noun; None for any.
    """
    actor, others = actors[index], [a for i, a in enumerate(actors) if i != index]
    noun = _noun(actor, rng)
    traits = [trait for trait in _traits(actor, actors, rng) if by in (None, trait.role)]
    order = rng.permutation(len(traits))
    said: list[Trait] = []
    rivals = [other for other in others if noun.fits(other)]
    for trait in (traits[i] for i in order):
        left = [other for other in rivals if trait.fits(other)]
        if len(left) < len(rivals) and trait.role not in {t.role for t in said}:
            said.append(trait)
            rivals = left
    if rivals:
        return None
    for trait in (traits[i] for i in order):
        wanted = {"verb": 0.8, "colour": 0.35, "size": 0.08, "place": 0.18, "relation": 0.06}[trait.role]
        if trait.role not in {t.role for t in said} and rng.random() < wanted:
            said.append(trait)
    words = {trait.role: trait.words for trait in said}
    return Description(_sentence(actor, noun.words, words, rng), (noun, *said))


def _noun(actor: Actor, rng: np.random.Generator) -> Trait:
    group = actor.sprite.sex or actor.kind
    word = _one(rng, NOUNS[group])
    if actor.sprite.noun and rng.random() < 0.4:
        word = actor.sprite.noun
    return Trait("noun", word, lambda other: _named(other, word))


def _named(other: Actor, word: str) -> bool:
    if word == other.sprite.noun:
        return True
    if other.kind == "adult" and not other.sprite.sex:  # may pass for either
        return word in NOUNS["male"] + NOUNS["female"] + NOUNS["adult"]
    return other.kind in MEMBERS.get(word, ()) or word in NOUNS[other.sprite.sex or other.kind]


def _traits(actor: Actor, actors: tuple[Actor, ...], rng: np.random.Generator) -> Iterator[Trait]:
    if actor.action:
        verbs = OWN_VERBS.get((actor.kind, actor.action), VERBS[actor.action])
        yield Trait("verb", _one(rng, verbs), lambda other: other.action in (actor.action, None))
    if actor.colour:
        yield Trait("colour", actor.colour, lambda other: alike(actor.colour, other.colour))
    others = [other for other in actors if other is not actor and other.kind == actor.kind]
    if others and all(actor.size > 1.5 * other.size for other in others):
        yield Trait("size", _one(rng, ("big", "large", "big")), lambda other: other.kind != actor.kind)
    if others and all(actor.size * 1.5 < other.size for other in others):
        yield Trait("size", _one(rng, ("small", "little", "small")), lambda other: other.kind != actor.kind)
    for place, fits in _places(actor):
        yield Trait("place", _one(rng, PLACES[place]), fits)
    yield from _relations(actor, actors, rng)


def _places(actor: Actor) -> Iterator[tuple[str, Callable[[Actor], bool]]]:
    if actor.x < 0.45:
        yield "left", lambda other: other.x < max(0.5, actor.x + MARGIN)
    if actor.x > 0.55:
        yield "right", lambda other: other.x > min(0.5, actor.x - MARGIN)
    if actor.y < 0.4:
        yield "top", lambda other: other.y < max(0.5, actor.y + MARGIN)
    if actor.y > 0.6:
        yield "bottom", lambda other: other.y > min(0.5, actor.y - MARGIN)
    if abs(actor.x - 0.5) < 0.1:
        yield "middle", lambda other: abs(other.x - 0.5) < 0.1 + MARGIN


def _relations(actor: Actor, actors: tuple[Actor, ...], rng: np.random.Generator) -> Iterator[Trait]:
    """Beside, or on one side of, somebody of a class that nobody else in the scene has."""
    for anchor in actors:
        if anchor is actor or sum(other.kind == anchor.kind for other in actors) > 1:
            continue
        name = f"the {NOUNS[anchor.kind][0]}"
        if _distance(actor, anchor) < NEAR:
            near = _one(rng, ("next to", "beside", "near"))
            yield Trait("relation", f"{near} {name}", partial(_near, anchor))
        if anchor.x - actor.x > MARGIN:
            yield Trait("relation", f"on the left of {name}", partial(_left_of, anchor))
        if actor.x - anchor.x > MARGIN:
            yield Trait("relation", f"on the right of {name}", partial(_right_of, anchor))


def _near(anchor: Actor, other: Actor) -> bool:
    return other is anchor or _distance(other, anchor) < FAR


def _left_of(anchor: Actor, other: Actor) -> bool:
    return other is anchor or other.x < anchor.x + MARGIN / 2


def _right_of(anchor: Actor, other: Actor) -> bool:
    return other is anchor or other.x > anchor.x - MARGIN / 2


def _distance(one: Actor, other: Actor) -> float:
    return float(np.hypot(one.x - other.x, one.y - other.y))


def _sentence(actor: Actor, noun: str, said: dict[str, str], rng: np.random.Generator) -> str:
    colour, wearing = said.get("colour"), ""
    if colour and actor.kind == "adult":
        colour, wearing = None, _one(rng, ("in {}", "in {}", "wearing {}", "in {} clothes", "with {} clothes"))
        wearing = wearing.format(said["colour"])
    adjectives = [said.get("size"), colour]
    place, verb = said.get("place", ""), said.get("verb", "")
    if place in PLACES["left"][:2] + PLACES["right"][:2] and rng.random() < 0.12:
        adjectives.insert(0, place.split()[-1])
        place = ""
    if verb and rng.random() < 0.55:
        verb = ("is " if rng.random() < 0.85 else "that is ") + verb
    tail = [verb, place] if rng.random() < 0.75 or not place else [place, verb]
    words = [*filter(None, adjectives), noun, wearing, *tail, said.get("relation", "")]
    phrase = " ".join(filter(None, words))
    article = _one(rng, ("the", "the", "a", "a", ""))
    if article == "a" and re.match("[aeiou]", phrase):
        article = "an"
    return f"{article} {phrase}".strip()


def _one(rng: np.random.Generator, options: Sequence[str]) -> str:
    return str(options[int(rng.integers(len(options)))])
