"""Whether a network can read a dataset's sentences: asked before anything runs, so that none stops it midway."""

from __future__ import annotations

from collections.abc import Iterable

from cstm.data.sample import Dataset, Reference
from cstm.errors import QueryError
from cstm.runtime.text import SentenceReader


def check_readable(dataset: Dataset, references: Iterable[Reference], reader: SentenceReader) -> None:
    """QueryError on the first sentence that `reader` cannot read: names it and its place in the dataset's file."""
    first: dict[str, Reference] = {}
    for reference in references:
        first.setdefault(reference.sentence, reference)
    for sentence, reference in first.items():
        try:
            reader(sentence)
        except QueryError as error:
            raise QueryError(
                f"{dataset.sentences_file}: video {reference.video}, instance {reference.instance}: {error}"
            ) from error
