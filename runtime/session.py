"""A session runs one component on one backend: a dict of arrays in, a dict of arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from cstm.models.contract import Component


class Session(ABC):
    """One loaded component. A context manager: resources are taken on creation and released by `close`.

    specs: the component's declaration (names, shapes, dtypes), whatever the precision inside.
    """

    def __init__(self, specs: Component):
        self.specs = specs

    @abstractmethod
    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The component's outputs for `inputs`, which must satisfy `specs`; ContractError where they do not."""

    def enqueue(self, inputs: dict) -> dict:
        """As `run`, but outputs may stay on the device and be unfinished; another session of the backend takes them.

        They hold their values until this session's next run, unless copied (`array.copy()`).
        """
        return self.run(inputs)

    def close(self) -> None:  # noqa: B027 (most sessions hold nothing)
        """Release what the session holds. A closed session must not be run."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
