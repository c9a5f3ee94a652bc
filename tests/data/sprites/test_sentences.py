"""Sentences are true, single one actor out, and say nothing that the tokenizer cannot read."""

import re
from collections import defaultdict

import numpy as np
import pytest

from cstm.data.sprites import art, sentences
from cstm.data.sprites.options import SPLITS
from cstm.data.sprites.scene import draw_scene
from cstm.data.sprites.sentences import NOUNS, OWN_VERBS, PLACES, VERBS, describe
from cstm.data.vocabulary import wordpiece_tokenizer

TRIES = 60
SIZES = {"big": 1, "large": 1, "small": -1, "little": -1}
RELATIONS = re.compile(r"\b(next to|beside|near|on the left of|on the right of) the (\w+)$")
COLOUR = re.compile(r"\b(" + "|".join(sorted(art.COLOURS, key=len, reverse=True)) + r")\b")


def told(actors, index=0, tries=TRIES):
    """What describe says of an actor, over and over; None among it where it cannot."""
    return [describe(tuple(actors), index, np.random.default_rng(seed)) for seed in range(tries)]


def texts(actors, index=0):
    return [description.sentence for description in told(actors, index)]


def actions_of_verbs():
    actions = defaultdict(set)
    for action, verbs in VERBS.items():
        for verb in verbs:
            actions[verb].add(action)
    for (_, action), verbs in OWN_VERBS.items():
        for verb in verbs:
            actions[verb].add(action)
    return actions


def claims(sentence):
    """What a sentence says, read by its words alone: noun, action, colour, size, place and relation."""
    said = {}
    rest = f" {sentence} "
    if found := RELATIONS.search(sentence):
        said["relation"] = found.groups()
        rest = f" {sentence[: found.start()]} "
    for action_verb in sorted(actions_of_verbs(), key=len, reverse=True):
        if f" {action_verb} " in rest:
            (said["action"],) = actions_of_verbs()[action_verb]
            break
    if found := COLOUR.search(rest):
        said["colour"] = found[1]
    said |= {("size", sign) for word, sign in SIZES.items() if f" {word} " in rest}
    phrases = {phrase: place for place, options in PLACES.items() for phrase in options}
    said |= {("place", place) for phrase, place in phrases.items() if f" {phrase} " in rest}
    if found := re.match(r" (?:the |a )?(left|right) ", rest):
        said["place"] = found[1]
    nouns = {*(noun for options in NOUNS.values() for noun in options), *art.NOUNS}
    said["noun"] = next(noun for noun in sorted(nouns, key=len, reverse=True) if f" {noun} " in rest)
    return said


def goes_by(actor, noun):
    """Whether people would call it that."""
    people = {
        "person": actor.kind == "adult", "adult": actor.kind == "adult",
        "child": actor.kind in ("adult", "baby"), "kid": actor.kind in ("adult", "baby"),
        "man": actor.sprite.sex == "male", "guy": actor.sprite.sex == "male", "boy": actor.sprite.sex == "male",
        "woman": actor.sprite.sex == "female", "girl": actor.sprite.sex == "female",
        "lady": actor.sprite.sex == "female", "toddler": actor.kind == "baby", "vehicle": actor.kind == "car",
        "kitten": actor.kind == "cat", "puppy": actor.kind == "dog",
    }  # fmt: skip
    if noun in art.NOUNS:
        return actor.sprite.noun == noun
    return people.get(noun, actor.kind == noun)


def beyond(actor, other, place):
    """How much further `other` is in the direction of `place`."""
    return {
        "left": actor.x - other.x,
        "right": other.x - actor.x,
        "top": actor.y - other.y,
        "bottom": other.y - actor.y,
        "middle": abs(actor.x - 0.5) - abs(other.x - 0.5),
    }[place]


def might_be(said, actor, other):
    """Whether a hasty reader might take `other` for the `actor` that a sentence is about; relations are not read."""
    if not goes_by(other, said["noun"]) or said.get("action", other.action) != other.action:
        return False
    if "colour" in said and not art.alike(said["colour"], other.colour):
        return False
    if "size" in said and other.kind == actor.kind:
        return said["size"] * (other.size - actor.size) > 0
    return "place" not in said or beyond(actor, other, said["place"]) > -0.05


def random_descriptions(split="train", count=250):
    rng = np.random.default_rng(8)
    for _ in range(count):
        actors = draw_scene(rng, split).actors
        for index, actor in enumerate(actors):
            description = describe(actors, index, rng)
            if description:
                yield actors, actor, description


def test_every_word_is_in_the_vocabulary():
    tokenizer = wordpiece_tokenizer()
    said = [text for group in (NOUNS, VERBS, OWN_VERBS, PLACES) for options in group.values() for text in options]
    said += [*art.COLOURS, *art.NOUNS, *SIZES, "that is", "a", "an", "the", "in wearing with clothes"]
    said += ["next to", "beside", "near", "on the left of", "on the right of"]
    for split in SPLITS:
        said += [description.sentence for _, _, description in random_descriptions(split, 60)]
    unknown = {text: tokens for text in said if "[UNK]" in (tokens := tokenizer.encode(text).tokens)}
    assert not unknown


def test_no_verb_is_said_of_two_actions():
    assert {verb: actions for verb, actions in actions_of_verbs().items() if len(actions) > 1} == {}


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_said_is_true(split):
    for actors, actor, description in random_descriptions(split):
        said, others = claims(description.sentence), [o for o in actors if o is not actor]
        assert goes_by(actor, said["noun"]), description
        assert said.get("action", actor.action) == actor.action, description
        assert said.get("colour", actor.colour) == actor.colour, description
        if "size" in said:
            ratios = [actor.size / other.size for other in others if other.kind == actor.kind]
            assert ratios and all(ratio ** said["size"] > 1.5 for ratio in ratios), description
        if "place" in said:
            holds = {
                "left": actor.x < 0.45, "right": actor.x > 0.55, "top": actor.y < 0.4, "bottom": actor.y > 0.6,
                "middle": abs(actor.x - 0.5) < 0.1,
            }  # fmt: skip
            assert holds[said["place"]], description
        if "relation" in said:
            where, name = said["relation"]
            (anchor,) = [other for other in actors if goes_by(other, name)]
            assert anchor is not actor
            if "left" in where or "right" in where:
                assert (anchor.x - actor.x > 0.1) == ("left" in where) and abs(anchor.x - actor.x) > 0.1, description
            else:
                assert np.hypot(anchor.x - actor.x, anchor.y - actor.y) < 0.34, description


@pytest.mark.parametrize("split", SPLITS)
def test_nobody_else_fits_what_is_said(split):
    read = 0
    for actors, actor, description in random_descriptions(split):
        said = claims(description.sentence)
        if "relation" in said:
            continue
        read += 1
        assert not [o for o in actors if o is not actor and might_be(said, actor, o)], (description, actor, actors)
    assert read > 300


def test_articles_fit_what_follows():
    for _, _, description in random_descriptions():
        sentence = description.sentence
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", sentence), sentence
        assert sentence == sentence.strip().lower() and "  " not in sentence and "{" not in sentence


def test_an_orange_car_has_its_article(make_actor):
    said = texts([make_actor("car", colour="orange"), make_actor("car", colour="blue")])
    assert any(sentence.startswith("an orange ") for sentence in said)
    assert not any(sentence.startswith("a orange") for sentence in said)


def test_of_two_colours_the_own_one_is_said(make_actor):
    red, blue = make_actor("dog", colour="red"), make_actor("dog", colour="blue")
    for sentence in texts([red, blue]):
        assert "red" in sentence.split() and "blue" not in sentence
    for sentence in texts([red, blue], 1):
        assert "blue" in sentence.split() and "red" not in sentence.split()


def test_of_two_actions_the_own_one_is_said(make_actor):
    runner, sleeper = make_actor("dog", action="running"), make_actor("dog", action="none")
    assert all(re.search("running|sprinting", sentence) for sentence in texts([runner, sleeper]))
    assert all(re.search("standing|not moving|staying", sentence) for sentence in texts([runner, sleeper], 1))


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"x": 0.2}, {"x": 0.8}, ("left", "right")),
        ({"y": 0.2}, {"y": 0.8}, ("top|upper", "bottom|lower")),
        ({"size": 0.45}, {"size": 0.2}, ("big|large", "small|little")),
    ],
)
def test_of_two_places_or_sizes_the_own_one_is_said(one, other, words, make_actor):
    actors = make_actor("cat", **one), make_actor("cat", **other)
    for index in (0, 1):
        for sentence in texts(actors, index):
            assert re.search(words[index], sentence) and not re.search(words[1 - index], sentence)


def test_the_middle_one_of_three_is_in_the_middle(make_actor):
    actors = [make_actor("bird", x=x) for x in (0.1, 0.5, 0.9)]
    assert all(re.search("in the (middle|center)", sentence) for sentence in texts(actors, 1))


def test_doubles_are_not_described(make_actor):
    assert told([make_actor("dog"), make_actor("dog")]) == [None] * TRIES
    near = [make_actor("dog", x=0.48, size=0.30), make_actor("dog", x=0.52, size=0.33)]
    assert told(near) == told(near, 1) == [None] * TRIES


@pytest.mark.parametrize(("one", "other"), [tuple(sorted(pair)) for pair in art.ALIKE])
def test_alike_colours_tell_nobody_apart(one, other, make_actor):
    assert told([make_actor("car", colour=one), make_actor("car", colour=other)], tries=8) == [None] * 8


def test_a_colour_does_not_tell_from_one_in_its_own_colours(make_actor):
    plain, red = make_actor("dog", colour=None), make_actor("dog", colour="red")
    assert told([plain, red]) == told([plain, red], 1) == [None] * TRIES


def test_somebody_of_another_class_needs_no_more_than_a_noun(make_actor):
    said = texts([make_actor("dog"), make_actor("cat")])
    assert {"dog", "puppy"} == {claims(sentence)["noun"] for sentence in said}
    assert any(claims(sentence).keys() == {"noun"} for sentence in said)


def test_men_and_women_are_told_apart_but_by_person(make_actor):
    sexes = [sprite.sex for sprite in art.sprites("train")["adult"]]
    actors = [make_actor("adult", sprite=sexes.index(sex)) for sex in ("male", "female")]
    said = told(actors)
    assert {claims(one.sentence)["noun"] for one in said if one} == {"man", "guy", "boy"}
    assert None in said  # who began with "person" had nothing to add


def test_a_person_of_no_known_sex_may_be_a_man(make_actor):
    sexes = [sprite.sex for sprite in art.sprites("test-style")["adult"]]
    actors = [make_actor("adult", "test-style", sexes.index(sex)) for sex in ("male", None)]
    assert told(actors) == [None] * TRIES


def test_a_kid_may_be_an_adult(make_actor):
    said = [one for one in told([make_actor("baby"), make_actor("adult")], tries=200) if one]
    assert not {"child", "kid"} & {claims(one.sentence)["noun"] for one in said}


def test_a_parrot_is_a_parrot_or_a_bird(make_actor):
    birds = art.sprites("train")["bird"]
    parrot, other = (next(i for i, bird in enumerate(birds) if bird.noun == noun) for noun in ("parrot", None))
    actors = make_actor("bird", sprite=parrot), make_actor("bird", sprite=other)
    said = told(actors)
    assert {claims(one.sentence)["noun"] for one in said if one} == {"parrot"} and None in said
    assert told(actors, 1) == [None] * TRIES  # a bird: so is the parrot


def test_adults_wear_their_colours(make_actor):
    for sentence in texts([make_actor("adult", colour="dark green"), make_actor("adult", colour="yellow")]):
        assert re.search("(in|wearing|with) dark green", sentence)


def test_only_what_does_not_speak_of_places_lasts(make_actor):
    assert {one.lasting for one in told([make_actor("cat", x=0.2), make_actor("cat", x=0.8)])} == {False}
    mixed = 0
    for _, _, description in random_descriptions():
        said = claims(description.sentence)
        assert description.lasting == (not {"place", "relation"} & said.keys()), description
        mixed += not description.lasting
    assert mixed > 50


def test_the_same_numbers_say_the_same():
    assert [d for *_, d in random_descriptions(count=20)] == [d for *_, d in random_descriptions(count=20)]


def test_every_noun_has_a_class():
    assert set(sentences.MEMBERS) <= {noun for options in NOUNS.values() for noun in options}
    assert set(NOUNS) == {"male", "female", *art.sprites("train")}
