"""Real videos with the mask of one actor in every frame, such as DAVIS's sequences, and sentences for them."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

import numpy as np

from cstm.data.sample import Reference, Sample
from cstm.data.tables import read_rows, tidy
from cstm.data.window import Clips
from cstm.errors import DatasetError, RequestError
from cstm.models.config import CSTMConfig

SENTENCES = "sentences.csv"
WHICH = {"train": "not left out of training", "test": "left out of training"}
STEP = 5  # from one annotated frame to the next that is evaluated; training sees all
# Never trained on: DAVIS's eight that are from YouTube, whose terms are unclear, and ours to judge by.
LEFT_OUT = (
    "breakdance", "dog-agility", "drift-chicane", "drift-straight", "drift-turn", "motocross-bumps", "motocross-jump",
    "parkour",
    "car-shadow", "dance-twirl", "libby", "lucia", "mallard-water", "paragliding-launch",
)  # fmt: skip


class RealVideos:
    """The references of a folder of real videos.

    root: holds sentences.csv (sequence, sentence, right: 1 where it describes the masked actor, 0 where nothing in the
    video is that) and, for each sequence, <sequence>/frames/00000.jpg … and <sequence>/masks/00000.png …, white where
    the actor is. split: "test", the sequences of `leave_out`, a frame in five; "train", the others, every frame.
    references: ordered by sequence, frame and sentence; those of wrong sentences have an empty mask.
    RequestError for another split; DatasetError when a file is missing or broken, or no reference is left.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "test",
        size: int = CSTMConfig.size,
        frames: int = CSTMConfig.frames,
        stride: int = CSTMConfig.stride,
        leave_out: Collection[str] = LEFT_OUT,
    ):
        if split not in WHICH:
            raise RequestError(f'split="{split}": real videos have "train" and "test"')
        self.root, self.split = Path(root), split
        self._clips = Clips(size, frames, stride)
        said: dict[str, list[tuple[str, bool]]] = {}
        for sequence, sentence, right in read_rows(self.sentences_file, 3)[1:]:
            if (sequence in leave_out) == (split == "test"):
                said.setdefault(sequence, []).append((tidy(sentence), right == "1"))
        self._masks = {name: sorted((self.root / name / "masks").glob("*.png")) for name in sorted(said)}
        self.references = [
            Reference(name, frame, sentence, present=right)
            for name, masks in self._masks.items()
            for frame in range(0, len(masks), STEP if split == "test" else 1)
            for sentence, right in said[name]
        ]
        if not self.references:
            raise DatasetError(f"{root}: no sequence of the {split} split has sentences and masks here")

    @property
    def sentences_file(self) -> Path:
        """Where the sentences are from."""
        return self.root / SENTENCES

    def check_official_counts(self) -> str:
        """One line that says how many videos there are."""
        return f"{len(self._masks)} real videos, split {self.split}: those {WHICH[self.split]}"

    def load(self, reference: Reference) -> Sample:
        """The sample of one of `references`. DatasetError names the file that is missing or broken."""
        clip = self._clips(self.root / reference.video / "frames", reference.frame)
        mask = _read_mask(self._masks[reference.video][reference.frame])
        return Sample(reference, clip, mask if reference.present else np.zeros_like(mask))

    def clip(self, reference: Reference, offset: int) -> np.ndarray:
        """As Dataset.clip."""
        return self._clips(self.root / reference.video / "frames", max(reference.frame + offset, 0))


@lru_cache(maxsize=4096)
def _read_mask(path: Path) -> np.ndarray:
    """bool [H,W]."""
    import cv2

    return read_frame(path, cv2.IMREAD_GRAYSCALE) > 0


def read_frame(path: Path, flags: int) -> np.ndarray:
    """A picture of a sequence. flags: OpenCV's, which say its channels. DatasetError when it is missing or broken."""
    import cv2  # late: naming a dataset, as the command line does, needs none

    image = cv2.imread(str(path), flags)
    if image is None:
        raise DatasetError(f"{path}: cannot be read; copy the sequence again")
    return image
