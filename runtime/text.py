"""Sentence -> the text encoder's inputs. The only place where sentences are split, looked up and padded."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from cstm.errors import QueryError
from cstm.models.config import CSTMConfig
from cstm.models.contract import TOKEN_IDS, TOKEN_MASK, WORD_VECTORS

# The inputs of the text encoder, the tokens, and the words that the network knows and those that it does not.
Read = tuple[dict[str, np.ndarray], list[str], list[str], list[str]]

WORD_SPLIT = re.compile(r"(\W+)")
UNKNOWN = "[UNK]"


@dataclass(frozen=True)
class Query:
    """A sentence as the network reads it.

    inputs: arrays of batch 1. tokens: what it was split into, without padding, [UNK] where the network knows none.
    unknown: words that it has never seen.
    """

    sentence: str
    inputs: dict[str, np.ndarray]
    tokens: tuple[str, ...]
    unknown: tuple[str, ...]


def stack(queries: list[Query]) -> dict[str, np.ndarray]:
    """The text encoder's inputs for several sentences, one a row."""
    return {name: np.concatenate([query.inputs[name] for query in queries]) for name in queries[0].inputs}


class SentenceReader:
    """Reads sentences for one network.

    tokenizer: a `tokenizers` file, or what one holds. word_vectors: float32 [V,300], row i for token id i, for a GRU
    network, else None.
    QueryError when a GRU network is given none.
    """

    def __init__(self, config: CSTMConfig, tokenizer: str | Path | Tokenizer, word_vectors: np.ndarray | None = None):
        self.config = config
        self.tokenizer = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        if config.text == "gru" and word_vectors is None:
            raise QueryError("a GRU network reads word vectors; give them to its SentenceReader")
        self.word_vectors = np.zeros((0, config.word_vector_width)) if word_vectors is None else word_vectors

    def __call__(self, sentence: str) -> Query:
        """The query of `sentence`. QueryError when it is empty, too long, or holds no word that the network knows."""
        if not isinstance(sentence, str) or not re.search(r"\w", sentence):
            raise QueryError(
                f"sentence {_shown(sentence)} holds no word; describe an actor, such as 'the dog on the left'"
            )
        if any("\ud800" <= letter <= "\udfff" for letter in sentence):
            raise QueryError(f"sentence {_shown(sentence)} is not UTF-8 text; type it anew, or set a UTF-8 locale")
        read = self._word_vectors if self.config.text == "gru" else self._tokens
        inputs, tokens, known, unknown = read(sentence)
        if len(tokens) > self.config.max_words:
            raise QueryError(
                f"sentence {_shown(sentence)} has {len(tokens)} tokens, at most {self.config.max_words} are read;"
                " shorten it"
            )
        if not known:
            raise QueryError(
                f"no word of sentence {_shown(sentence)} is in the network's vocabulary; write plain English"
            )
        return Query(sentence, inputs, tuple(tokens), tuple(unknown))

    def _tokens(self, sentence: str) -> Read:
        encoding = self.tokenizer.encode(sentence)
        length, limit = len(encoding.ids), self.config.max_words
        ids, mask = np.zeros((2, 1, limit), np.int64)
        ids[0, : min(length, limit)] = encoding.ids[:limit]
        mask[0, : min(length, limit)] = 1
        pieces = [
            (token, sentence[slice(*span)])
            for token, span, special in zip(
                encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True
            )
            if not special and re.search(r"\w", sentence[slice(*span)])
        ]
        known = [text for token, text in pieces if token != UNKNOWN]
        unknown = [text for token, text in pieces if token == UNKNOWN]
        return {TOKEN_IDS: ids, TOKEN_MASK: mask}, encoding.tokens, known, unknown

    def _word_vectors(self, sentence: str) -> Read:
        words = [word.lower() for word in WORD_SPLIT.split(sentence.strip()) if word.strip()]
        if words[-1] == ".":
            words.pop()
        rows = [self.tokenizer.token_to_id(word) or 0 for word in words]
        vectors = np.zeros((1, self.config.max_words, self.config.word_vector_width), np.float32)
        vectors[0, : len(rows)] = self.word_vectors[rows[: self.config.max_words]]
        known = [word for word, row in zip(words, rows, strict=True) if row]
        unknown = [word for word, row in zip(words, rows, strict=True) if not row and re.search(r"\w", word)]
        tokens = [word if row else UNKNOWN for word, row in zip(words, rows, strict=True)]
        return {WORD_VECTORS: vectors}, tokens, known, unknown


def _shown(sentence: object, most: int = 40) -> str:
    text = repr(sentence) if isinstance(sentence, str) else reprlib.repr(sentence)
    return text if len(text) <= most else f"{text[:most]}…"
