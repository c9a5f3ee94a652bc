"""Where a step runs, and what it finds there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cstm.errors import ParityError
from cstm.runtime.tolerance import Difference


@dataclass(frozen=True)
class Place:
    """device: torch's name, "cuda", or "cpu" for a dry run: the same lines on small shapes, whose times mean nothing.

    folder: of this run alone; what a step leaves there later ones take. bundle: the one to use, which the step "bundle"
    makes where it is not there.
    """

    device: str
    folder: Path
    bundle: Path

    @property
    def dry(self) -> bool:
        """Whether there is no GPU to ask."""
        return self.device == "cpu"


@dataclass(frozen=True)
class Found:
    """said: in a line. figures: as JSON can hold them; "frame_ms", where a step has it, holds milliseconds a frame by
    what ran it. passed: whether all of it is as it should be."""

    said: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    passed: bool = True


class Skipped(Exception):  # noqa: N818 (nothing is wrong)
    """The step cannot run here; says why."""


def tell(text: str) -> None:
    """What is being done, for whoever waits."""
    print(text, flush=True)


def same(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
    """ParityError unless both are equal but for FP32's rounding."""
    difference = Difference.between(actual, expected)
    if not difference.relative < 1e-6:
        raise ParityError(f"{what}: off by {difference.absolute:.2e} where the largest value is {difference.scale:.2e}")
