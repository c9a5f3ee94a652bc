"""Masks as pictures in a folder."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from cstm.errors import CSTMError
from cstm.files import atomic_folder
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.masks_file import MasksWriter

PICTURE = "{:06d}.png"


class PicturesWriter(MasksWriter):
    """To a folder: masks.json, the head, and for each sentence a folder, 1, 2, …, with a grey PNG of each frame,
    named by its number: 255 in the mask."""

    @staticmethod
    def check_place(path: str | Path) -> None:
        """CSTMError where it exists: pictures are not mixed with what lies there."""
        if Path(path).exists():
            raise CSTMError(f"{path}: exists; name another folder for the masks' pictures, or remove it")

    def _begin(self, stack: ExitStack) -> None:
        self.check_place(self.path)
        folder = stack.enter_context(atomic_folder(self.path))
        self._folders = [folder / str(number) for number in range(1, len(self.head["sentences"]) + 1)]
        for place in self._folders:
            place.mkdir()
        self._head_file = folder / "masks.json"

    def write(self, result: FrameMasks) -> None:
        """Add a frame."""
        for folder, mask in zip(self._folders, result.masks, strict=True):
            picture = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
            picture.save(folder / PICTURE.format(result.index), compress_level=1)

    def _end(self) -> None:
        self._head_file.write_text(json.dumps(self.head, indent=1) + "\n", encoding="utf-8")
