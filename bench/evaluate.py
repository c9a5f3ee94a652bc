"""A network on a dataset's annotated samples. What the figures mean: `bench.metrics`."""

from __future__ import annotations

import numpy as np

from cstm.bench.metrics import AUTHORS, Outcome, check_protocol
from cstm.bench.predictors import Predictor
from cstm.data.readable import check_readable
from cstm.data.sample import Dataset, Sample
from cstm.errors import RequestError
from cstm.progress import progress
from cstm.runtime.postprocess import masks, probabilities, scores
from cstm.runtime.smooth import mended

BATCH = 8


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    protocol: str = AUTHORS,
    batch: int = BATCH,
    limit: int | None = None,
    shown: bool = True,
    smoothing: bool = False,
) -> list[Outcome]:
    """The outcome of each of the dataset's references, or of the first `limit`, in their order.

    protocol: "authors" or "mttr", which decides how a probability becomes a mask, whatever the network's own rule.
    batch: samples in memory at a time. shown: show a bar on standard error, where that is a terminal.
    smoothing: mend masks by the frames around a sample's, as `Segmenter.segment` does.
    RequestError on another protocol, batch or limit; QueryError, before anything runs, when a sentence cannot be read,
    with its place in the dataset; CSTMError when a sample cannot.
    """
    check_protocol(protocol)
    if batch < 1 or (limit is not None and limit < 1):
        raise RequestError(f"batch={batch}, limit={limit}: must be 1 or more")
    references = dataset.references[:limit]
    check_readable(dataset, references, predictor.reader)
    outcomes = []
    with progress(predictor.name, len(references), shown=shown) as bar:
        for start in range(0, len(references), batch):
            samples = [dataset.load(reference) for reference in references[start : start + batch]]
            likely = probabilities(_logits(predictor, dataset, samples, smoothing))
            for sample, response, score in zip(samples, likely, scores(likely), strict=True):
                found = cut(response, sample.mask.shape, protocol)
                outcomes.append(Outcome.of(sample.reference, found, sample.mask, score))
            bar.advance(len(samples))
    return outcomes


def _logits(predictor: Predictor, dataset: Dataset, samples: list[Sample], smoothing: bool) -> np.ndarray:
    """Mask logits [B,1,R,R] of samples, mended by those of the frames before and after where `smoothing`."""
    sentences = [sample.reference.sentence for sample in samples]
    own = predictor(np.stack([sample.clip for sample in samples]), sentences)
    if not smoothing:
        return own
    clips = (np.stack([dataset.clip(sample.reference, offset) for sample in samples]) for offset in (-1, 1))
    before, after = (predictor(around, sentences) for around in clips)
    return mended(before, own, after)


def cut(response: np.ndarray, size: tuple[int, int], protocol: str) -> np.ndarray:
    """Probabilities [R,R] -> mask bool [H,W], as the protocol has it.

    "authors": above half of the highest, after resizing, as at run time (theirs cuts, then resizes the mask).
    "mttr": above 0.5 at the network's size, then the nearest pixel.
    """
    if protocol == AUTHORS:
        return masks(response[None], size, "half_max")[0]
    rows, columns = (np.arange(length) * side // length for length, side in zip(size, response.shape, strict=True))
    return response[np.ix_(rows, columns)] > 0.5
