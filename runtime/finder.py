"""What the network finds in one frame."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from cstm.models.config import CSTMConfig
from cstm.models.contract import CLIP, FRAME
from cstm.runtime.chain import Chain
from cstm.runtime.postprocess import masks, probabilities, scores
from cstm.runtime.text import Query, stack

PLANS_KEPT = 64
NOTHING = -1e4  # a logit whose probability is 0


class Finder:
    """A chain, asked about frames. Any number of threads may use it.

    max_batch: how many sentences the chain takes at once.
    """

    def __init__(self, chain: Chain, config: CSTMConfig, max_batch: int):
        self.chain, self.config, self.max_batch = chain, config, max_batch
        self._plans: OrderedDict[tuple[str, ...], dict] = OrderedDict()
        self._lock = threading.Lock()

    def language_plans(self, queries: list[Query]) -> list[dict]:
        """The language plans of the sentences, in batches of at most `max_batch`; those used last are kept."""
        batches = (queries[i : i + self.max_batch] for i in range(0, len(queries), self.max_batch))
        return [self._language_plan(batch) for batch in batches]

    def logits(self, pixels: np.ndarray, clip: np.ndarray, language_plans: list[dict]) -> np.ndarray:
        """A frame uint8 [3,R,R] and its clip uint8 [3,T,R,R] -> mask logits float32 [Q,1,R,R]."""
        given = {FRAME: pixels[None], CLIP: clip[None]}
        return np.concatenate([self.chain.mask_logits(given, language_plan) for language_plan in language_plans])

    def masks(self, logits: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Mask logits [Q,1,R,R] -> masks bool [Q,H,W] and scores float32 [Q]. ContractError where one is not finite."""
        likely = probabilities(logits)
        return masks(likely, size, self.config.mask_rule), scores(likely)

    def _language_plan(self, queries: list[Query]) -> dict:
        key = tuple(query.sentence for query in queries)
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key]
        plan = self.chain.language_plan(stack(queries))
        with self._lock:
            self._plans[key] = plan
            while len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)
        return plan
