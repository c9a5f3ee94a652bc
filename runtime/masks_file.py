"""Masks on disk, frame by frame: JSON with COCO run lengths, or a line of JSON a frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from cstm.files import atomic_path
from cstm.runtime import rle
from cstm.runtime.segmenter import FrameMasks

LINES = ".jsonl"


class MasksWriter:
    """Writes what was found in each frame, as it comes, to a file that appears when the block ends and not at all when
    it fails. Nothing is kept in memory.

    head: what is said of them all. The file is one JSON object, `head` with "frames" at its end; or, where its name
    ends in .jsonl, `head` in the first line and a frame in each that follows. A frame has its index, its time in
    seconds, and each sentence's score and mask as COCO run lengths.
    """

    def __init__(self, path: str | Path, head: Mapping[str, Any]):
        self.path = Path(path)
        if self.path.suffix == LINES:
            self._before, self._between, self._after = json.dumps(head) + "\n", "\n", "\n"
        else:
            self._before, self._between, self._after = json.dumps({**head, "frames": []})[:-2], ", ", "]}"
        self._written = 0
        self._stack = ExitStack()

    def __enter__(self) -> MasksWriter:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(temporary.open("w", encoding="utf-8"))
            self._stack = stack.pop_all()
        self._file.write(self._before)
        return self

    def write(self, result: FrameMasks) -> None:
        """Append a frame."""
        self._file.write(self._between if self._written else "")
        self._file.write(json.dumps(_record(result)))
        self._written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack as stack:
            if kind is not None:
                stack.__exit__(kind, error, traceback)
            else:
                self._file.write(self._after)


def _record(result: FrameMasks) -> dict[str, Any]:
    return {
        "index": result.index,
        "time": round(result.time, 6),
        "scores": [round(float(score), 6) for score in result.scores],
        "masks": [rle.encode(mask) for mask in result.masks],
    }
