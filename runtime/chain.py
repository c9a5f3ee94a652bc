"""The network's parts in a row, wired by the contract's names: all components one by one, or linked."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from cstm.errors import EngineError
from cstm.models.config import CSTMConfig
from cstm.models.contract import FRAME_GRAPH, MASK_LOGITS, TEXT_ENCODER, contract, program
from cstm.runtime.session import Session


class Chain:
    """One network as sessions of one backend. A context manager that closes them.

    sessions: by name, for every component of the contract, or for both parts of the linked program.
    """

    def __init__(self, config: CSTMConfig, sessions: Mapping[str, Session]):
        self.config = config
        self.components = program(config) if FRAME_GRAPH in sessions else contract(config)
        self.sessions = sessions
        self._once = any(spec.once for component in self.components.values() for spec in component.inputs)
        self._lock = threading.Lock()
        self._closed = False
        self._process = os.getpid()

    def language_plan(self, text: dict[str, np.ndarray]) -> dict:
        """The text encoder's inputs, batch Q -> its outputs: sentence vectors and language plans, to keep and reuse."""
        with self._turn():
            outputs = self.sessions[TEXT_ENCODER].enqueue(text)
            return {name: array.copy() for name, array in outputs.items()}

    def mask_logits(self, pixels: dict[str, np.ndarray], language_plan: dict) -> np.ndarray:
        """Mask logits float32 [Q,1,R,R].

        pixels: "frame" uint8 [1,3,R,R] and "clip" uint8 [1,3,T,R,R] for all sentences, or [Q,...], one for each; one
        that no stream takes is passed over. language_plan: from `language_plan`.
        """
        sentences, pictures = _batch(language_plan), _batch(pixels)
        if self._once and pictures > 1:
            rows = zip(_rows(pixels), _rows(language_plan), strict=True)
            return np.concatenate([self.mask_logits(*row) for row in rows])
        if not self._once and pictures < sentences:
            pixels = {name: np.repeat(array, sentences, axis=0) for name, array in pixels.items()}
        values = pixels | language_plan
        with self._turn():
            for name, component in self.components.items():
                if name != TEXT_ENCODER:
                    values |= self.sessions[name].enqueue(component.pick(values))
            logits = values[MASK_LOGITS]
            return logits if isinstance(logits, np.ndarray) else logits.to_numpy()

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The chain's inputs, batch Q -> mask logits float32 [Q,1,R,R]."""
        return self.mask_logits(inputs, self.language_plan(self.components[TEXT_ENCODER].pick(inputs)))

    def close(self) -> None:
        """Close every session. May be called again; in a forked process it does nothing."""
        if self._process != os.getpid():
            return
        with self._lock:
            self._closed = True
            for session in self.sessions.values():
                session.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One thread at a time: what a session gives on a device holds until its next run."""
        if self._process != os.getpid():
            raise EngineError(
                "the network was opened before this process was forked, and its threads are not here: open a Segmenter"
                " in each process, or start them with the method spawn"
            )
        with self._lock:
            if self._closed:
                raise EngineError("the network is closed; open the bundle again")
            yield

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _batch(arrays: dict) -> int:
    return next(iter(arrays.values())).shape[0]


def _rows(arrays: dict) -> list[dict]:
    """A dict of batch 1 for each of the batch."""
    return [{name: array[i : i + 1] for name, array in arrays.items()} for i in range(_batch(arrays))]
