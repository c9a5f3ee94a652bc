import numpy as np
import pytest

from cstm.data.vocabulary import seeded_vectors, wordlevel_tokenizer, wordpiece_tokenizer, words
from cstm.errors import QueryError
from cstm.models.config import CSTMConfig
from cstm.runtime.text import SentenceReader


@pytest.fixture(params=["tiny", "released"])
def reader(request, tmp_path):
    config = CSTMConfig.from_preset(request.param)
    if request.param == "tiny":
        wordpiece_tokenizer().save(str(tmp_path / "t.json"))
        return SentenceReader(config, tmp_path / "t.json")
    wordlevel_tokenizer(list(words())).save(str(tmp_path / "t.json"))
    return SentenceReader(config, tmp_path / "t.json", seeded_vectors(config, words()))


def test_known_words(reader):
    query = reader("The dog jumping on the left")
    assert query.unknown == ()
    assert {a.shape[0] for a in query.inputs.values()} == {1}
    same = reader("the DOG jumping on the left")
    assert all(np.array_equal(query.inputs[k], same.inputs[k]) for k in query.inputs)


def test_unknown_words_are_named(reader):
    assert reader("the zyzzyva dog").unknown == ("zyzzyva",)


@pytest.mark.parametrize("sentence", ["", "   ", "...", "\N{DOG FACE}", None, 7])
def test_no_word(reader, sentence):
    with pytest.raises(QueryError, match="holds no word"):
        reader(sentence)


@pytest.mark.parametrize("sentence", ["собака бежит", "犬が走る", "zyzzyva qwerty"])
def test_no_known_word(reader, sentence):
    with pytest.raises(QueryError, match="plain English"):
        reader(sentence)


def test_as_many_tokens_as_the_network_reads_are_not_too_many(reader):
    most = reader.config.max_words
    added = len(reader("dog").tokens) - 1
    assert len(reader("dog " * (most - added)).tokens) == most
    with pytest.raises(QueryError, match=f"{most + 1} tokens, at most {most}"):
        reader("dog " * (most - added + 1))


def test_ten_thousand_characters(reader):
    with pytest.raises(QueryError, match="shorten it") as raised:
        reader("dog " * 2500)
    assert len(str(raised.value)) < 200


def test_accents_are_read_as_plain_letters_by_the_transformer(tmp_path):
    wordpiece_tokenizer().save(str(tmp_path / "t.json"))
    reader = SentenceReader(CSTMConfig.from_preset("tiny"), tmp_path / "t.json")
    assert np.array_equal(reader("dög").inputs["token_ids"], reader("dog").inputs["token_ids"])


def test_words_as_the_released_code_has_them(tmp_path):
    """Split on non-words, which stay when they are more than space; lower case; a final full stop goes; zeros pad."""
    config = CSTMConfig.from_preset("released")
    wordlevel_tokenizer(["dog", "left", "the"]).save(str(tmp_path / "t.json"))
    vectors = np.zeros((4, 300), np.float32)
    vectors[1:] = np.arange(1, 4)[:, None]
    reader = SentenceReader(config, tmp_path / "t.json", vectors)
    read = reader("The dog, left.").inputs["word_vectors"]
    assert read.shape == (1, 20, 300) and read.dtype == np.float32
    assert read[0, :6, 0].tolist() == [3, 1, 0, 2, 0, 0]


def test_a_gru_network_without_word_vectors(tmp_path):
    wordlevel_tokenizer(words()).save(str(tmp_path / "t.json"))
    with pytest.raises(QueryError, match="reads word vectors"):
        SentenceReader(CSTMConfig.from_preset("released"), tmp_path / "t.json")
