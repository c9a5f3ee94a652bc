"""The components in a row, wired by the contract's names."""

from __future__ import annotations

import numpy as np

from cstm.models.config import CSTMConfig
from cstm.models.contract import MASK_LOGITS, TEXT_ENCODER, contract
from cstm.runtime.session import Session


class Chain:
    """All components of one network as sessions of one backend. A context manager that closes them.

    sessions: by component, for every component of the contract.
    """

    def __init__(self, config: CSTMConfig, sessions: dict[str, Session]):
        self.config = config
        self.components = contract(config)
        self.sessions = sessions

    def plan(self, text: dict[str, np.ndarray]) -> dict:
        """The text encoder's inputs, batch Q -> its outputs: sentence vectors and language plans, to keep and reuse."""
        outputs = self.sessions[TEXT_ENCODER].enqueue(text)
        return {name: array.copy() for name, array in outputs.items()}

    def mask_logits(self, pixels: dict[str, np.ndarray], plan: dict) -> np.ndarray:
        """Mask logits float32 [Q,1,R,R].

        pixels: "frame" uint8 [Q,3,R,R] and "clip" uint8 [Q,3,T,R,R], those that the network's streams take.
        plan: from `plan`, for the same Q.
        """
        values = pixels | plan
        for name, component in self.components.items():
            if name == TEXT_ENCODER:
                continue
            values |= self.sessions[name].enqueue({spec.name: values[spec.name] for spec in component.inputs})
        logits = values[MASK_LOGITS]
        return logits if isinstance(logits, np.ndarray) else logits.to_numpy()

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The chain's inputs, batch Q -> mask logits float32 [Q,1,R,R]."""
        text = {spec.name for spec in self.components[TEXT_ENCODER].inputs}
        pixels = {name: array for name, array in inputs.items() if name not in text}
        return self.mask_logits(pixels, self.plan({name: inputs[name] for name in text}))

    def close(self) -> None:
        """Close every session."""
        for session in self.sessions.values():
            session.close()

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, *_) -> None:
        self.close()
