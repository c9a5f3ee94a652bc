"""Sentences that a network cannot read are named with their place."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cstm.data.readable import check_readable
from cstm.data.sample import Reference
from cstm.errors import QueryError

SENTENCES = ("a dog", "too long", "a cat", "too long", "worse")
REFERENCES = [Reference(f"v{i}", i, sentence, str(i)) for i, sentence in enumerate(SENTENCES)]
DATASET = SimpleNamespace(sentences_file=Path("root/sentences.txt"))


def test_the_first_is_named_and_each_is_read_once():
    asked = []

    def reader(sentence):
        asked.append(sentence)
        if sentence in ("too long", "worse"):
            raise QueryError(f"sentence {sentence!r} is no good")

    with pytest.raises(
        QueryError, match=r"^root/sentences\.txt: video v1, instance 1: sentence 'too long' is no good$"
    ):
        check_readable(DATASET, REFERENCES, reader)
    assert asked == ["a dog", "too long"]


def test_nothing_is_said_where_all_can_be_read():
    asked = []
    check_readable(DATASET, REFERENCES, asked.append)
    assert asked == ["a dog", "too long", "a cat", "worse"]
