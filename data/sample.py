"""What every dataset gives: which sentence refers to what in which frame, and the pixels and the mask of that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

ACTORS = ("adult", "baby", "ball", "bird", "car", "cat", "dog")
ACTIONS = ("climbing", "crawling", "eating", "flying", "jumping", "rolling", "running", "walking", "none")
TRIVIAL, NON_TRIVIAL = "trivial", "non-trivial"


@dataclass(frozen=True)
class Reference:
    """A sentence and one annotated frame that holds its actor.

    video: the clip's id. frame: the target's number, from 0. instance: the actor's id within the clip.
    actor, action: of ACTORS and ACTIONS (J-HMDB: its own action names), or None where not annotated.
    difficulty: TRIVIAL, NON_TRIVIAL (the clip holds another actor of the same class), or None where not known.
    present: whether the sentence is of anybody in the clip; where not, the mask is empty.
    """

    video: str
    frame: int
    sentence: str
    instance: str = "0"
    actor: str | None = None
    action: str | None = None
    difficulty: str | None = None
    present: bool = True


@dataclass(frozen=True)
class Sample:
    """A reference with its pixels.

    clip: RGB uint8 [3,T,R,R], as `runtime.preprocess` makes it, the target frame at index T // 2.
    mask: bool [H,W], of the video's own size.
    """

    reference: Reference
    clip: np.ndarray
    mask: np.ndarray


class Dataset(Protocol):
    """A list of references, and their samples on demand."""

    references: list[Reference]

    @property
    def sentences_file(self) -> Path:
        """Where the sentences are from, by video and instance."""
        ...

    def check_official_counts(self) -> str:
        """One line that says whether this is the whole official set, or a part of it."""
        ...

    def load(self, reference: Reference) -> Sample:
        """The sample of one of `references`. CSTMError names the file that is missing or broken."""
        ...

    def clip(self, reference: Reference, offset: int) -> np.ndarray:
        """The clip around the frame `offset` after a reference's, as in `Sample`; of the video's start from there back.
        CSTMError as `load`."""
        ...
