"""Which tokenizer reads a network's sentences, and what is said of files that hold none."""

import pytest

from cstm.data.vocabulary import read_glove, read_tokenizer, tokenizer_for, wordpiece_tokenizer
from cstm.errors import CheckpointError
from cstm.models.config import CSTMConfig

CONFIG = CSTMConfig.from_preset("tiny")


@pytest.mark.parametrize("text", ["x", "{}", "[]", "\0"])
def test_a_tokenizer_that_is_none_is_refused_wherever_it_comes_from(tmp_path, text):
    with pytest.raises(CheckpointError, match="the checkpoint's tokenizer cannot be read"):
        tokenizer_for(CONFIG, None, text, trained=True)
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        tokenizer_for(CONFIG, tmp_path / "tokenizer.json", None, trained=True)
    with pytest.raises(CheckpointError, match="absent"):
        read_tokenizer(tmp_path / "absent.json")


def test_learnt_weights_are_never_read_with_other_words():
    own = wordpiece_tokenizer().to_str()
    assert tokenizer_for(CONFIG, None, own, trained=True).to_str() == own
    with pytest.raises(CheckpointError, match="does not hold the tokenizer"):
        tokenizer_for(CONFIG, None, None, trained=True)
    with pytest.raises(CheckpointError, match="tokens, the network 10"):
        tokenizer_for(CSTMConfig.from_preset("tiny", vocabulary=10), None, own, trained=True)


@pytest.mark.parametrize("content", [None, b"", b"word 1 2\n", b"\xff\xfe 1 2 3\n"])
def test_word_vectors_that_are_none_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "glove.txt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"glove\.txt"):
        read_glove(tmp_path / "glove.txt", width=3)


def test_glove(tmp_path):
    def line(word, value):
        return f"{word} " + " ".join([str(value)] * 300) + "\n"

    (tmp_path / "glove.txt").write_text(line("dog", 0.5) + line(". .", 1) + line("dog", 9) + line("bird", 2))
    words, vectors = read_glove(tmp_path / "glove.txt")
    assert words == ["dog", ". .", "bird"]
    assert vectors[:, 0].tolist() == [0, 0.5, 1, 2]
    for bad in ("dog 1 2\n", line("dog", "many"), "\xff"):
        (tmp_path / "bad.txt").write_bytes(bad.encode("latin-1"))
        with pytest.raises(CheckpointError, match="line 1"):
            read_glove(tmp_path / "bad.txt")
