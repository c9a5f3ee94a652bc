"""Tokenizers and word vectors for networks that bring none of their own."""

from __future__ import annotations

import string
import zlib
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from cstm.errors import CheckpointError
from cstm.models.config import CSTMConfig

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
SUFFIXES = ("##s", "##es", "##ed", "##ing", "##er", "##ly")


@cache
def words() -> tuple[str, ...]:
    """The words of the A2D and J-HMDB sentences, the most frequent first."""
    return tuple(files("cstm.data").joinpath("words.txt").read_text(encoding="utf-8").split())


def wordpiece_tokenizer() -> Tokenizer:
    """A small English WordPiece tokenizer: whole words and common endings; any other word is [UNK]."""
    vocabulary = [*SPECIAL, *string.punctuation, *string.digits, *words(), *SUFFIXES]
    ids = {word: index for index, word in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [(token, ids[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, special)
    return tokenizer


def read_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer in a tokenizer.json. CheckpointError when it is none."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more precise
        raise CheckpointError(f"{path}: not a tokenizer.json ({error})") from error


def tokenizer_for(config: CSTMConfig, named: str | Path | None, own: str | None, trained: bool) -> Tokenizer:
    """The tokenizer of a transformer's sentences: the one in the file `named`, else the weights' own (tokenizer.json as
    text), else, for weights that were not learnt, the built-in one.

    CheckpointError when learnt weights hold none and none is named, or when it has more tokens than the network.
    """
    if named:
        tokenizer = read_tokenizer(named)
    elif own:
        tokenizer = _parsed(own)
    elif not trained:
        tokenizer = wordpiece_tokenizer()
    else:
        raise CheckpointError(
            "the checkpoint does not hold the tokenizer it was trained with; name it with --tokenizer"
        )
    count = tokenizer.get_vocab_size()
    if count > config.vocabulary:
        raise CheckpointError(
            f"the tokenizer has {count} tokens, the network {config.vocabulary};"
            " name the network's own with --tokenizer"
        )
    return tokenizer


def _parsed(text: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises nothing more precise
        raise CheckpointError(
            f"the checkpoint's tokenizer cannot be read ({error}); name the network's own with --tokenizer"
        ) from error


def wordlevel_tokenizer(vocabulary: list[str]) -> Tokenizer:
    """A word -> row table for the GRU. Row 0 is [UNK], whose vector is zero; padding is zero as well."""
    ids = {word: index for index, word in enumerate(dict.fromkeys(["[UNK]", *vocabulary]))}
    return Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))


def seeded_vectors(config: CSTMConfig, vocabulary: tuple[str, ...]) -> np.ndarray:
    """Random word vectors float32 [1+V,300], of GloVe's size, each from its word alone; row 0 is zero."""
    rows = [np.zeros(config.word_vector_width)]
    for word in vocabulary:
        rows.append(0.4 * np.random.default_rng(zlib.crc32(word.encode())).standard_normal(config.word_vector_width))
    return np.asarray(rows, np.float32)


def read_glove(path: str | Path, width: int = 300) -> tuple[list[str], np.ndarray]:
    """Words and vectors, float32 [1+V,width] with a zero row 0, of a GloVe text file; of a word's lines the first.

    CheckpointError when it cannot be read, holds no words, or a line does not hold a word and `width` numbers.
    """
    vectors = {"": np.zeros(width, np.float32)}
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                word, vector = _word_and_vector(line, width, f"{path}: line {number}")
                vectors.setdefault(word, vector)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); name a file of GloVe's") from error
    if len(vectors) == 1:
        raise CheckpointError(f"{path}: holds no words; copy GloVe's file again")
    return list(vectors)[1:], np.stack(list(vectors.values()))


def _word_and_vector(line: bytes, width: int, place: str) -> tuple[str, np.ndarray]:
    try:
        word, *numbers = line.decode().rstrip("\n").rsplit(" ", width)
        vector = np.array(numbers, np.float32)
    except ValueError:
        vector = np.empty(0, np.float32)
    if len(vector) != width:
        raise CheckpointError(f"{place} does not hold a word and {width} numbers; is it GloVe's?")
    return word, vector
