"""Masks on disk, frame by frame, in the forms that programs load. A file's name says which."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from cstm.files import atomic_path, check_place
from cstm.runtime import rle
from cstm.runtime.frame_masks import FrameMasks


class MasksWriter(ABC):
    """Writes what was found in each frame, as it comes, to what appears when the block ends and not at all when it
    fails. The masks are not kept in memory.

    head: what is said of them all: "video", its name, "size" [H, W], "fps", "sentences", "trained".
    """

    def __init__(self, path: str | Path, head: Mapping[str, Any]):
        self.path, self.head = Path(path), head
        self._stack = ExitStack()

    @staticmethod
    def check_place(path: str | Path) -> None:
        """CSTMError where nothing can be written to `path`."""
        check_place(path)

    def __enter__(self) -> MasksWriter:
        with ExitStack() as stack:
            self._begin(stack)
            self._stack = stack.pop_all()
        return self

    @abstractmethod
    def _begin(self, stack: ExitStack) -> None:
        """Open what is written to; `stack` closes it."""

    @abstractmethod
    def write(self, result: FrameMasks) -> None:
        """Append a frame."""

    @abstractmethod
    def _end(self) -> None:
        """All frames were written."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack as stack:
            if kind is not None:
                stack.__exit__(kind, error, traceback)
            else:
                self._end()


class TextWriter(MasksWriter):
    """To a text file."""

    def __init__(self, path: str | Path, head: Mapping[str, Any]):
        super().__init__(path, head)
        self._written = 0  # frames

    def _begin(self, stack: ExitStack) -> None:
        temporary = stack.enter_context(atomic_path(self.path))
        self._file = stack.enter_context(temporary.open("w", encoding="utf-8"))
        self._file.write(self.before())

    def write(self, result: FrameMasks) -> None:
        """Append a frame."""
        self._file.write(self.of_frame(result))
        self._written += 1

    def _end(self) -> None:
        self._file.write(self.after())

    @abstractmethod
    def before(self) -> str:
        """What the file begins with."""

    @abstractmethod
    def of_frame(self, result: FrameMasks) -> str:
        """What is added for a frame."""

    @abstractmethod
    def after(self) -> str:
        """What the file ends with."""


class JsonWriter(TextWriter):
    """One JSON object: the head, and "frames", of which each has its index, its time in seconds, and each sentence's
    score and mask as COCO run lengths; where the bundle can tell, "presence", "track_presence" and "seen" as FrameMasks
    has them."""

    def before(self) -> str:
        """As TextWriter has it."""
        return json.dumps({**self.head, "frames": []})[:-2]

    def of_frame(self, result: FrameMasks) -> str:
        """As TextWriter has it."""
        return (", " if self._written else "") + json.dumps(record(result))

    def after(self) -> str:
        """As TextWriter has it."""
        return "]}"


class LinesWriter(TextWriter):
    """JSON lines: the head, then a frame in each, as JsonWriter has them."""

    def before(self) -> str:
        """As TextWriter has it."""
        return json.dumps(self.head) + "\n"

    def of_frame(self, result: FrameMasks) -> str:
        """As TextWriter has it."""
        return json.dumps(record(result)) + "\n"

    def after(self) -> str:
        """As TextWriter has it."""
        return ""


def record(result: FrameMasks) -> dict[str, Any]:
    """What is written of a frame, as JSON has it."""
    told = {"scores": result.scores, "presence": result.presence, "track_presence": result.track_presence}
    return {
        "index": result.index,
        "time": round(result.time, 6),
        **{name: [round(float(value), 6) for value in values] for name, values in told.items() if values is not None},
        **({} if result.seen is None else {"seen": result.seen.tolist()}),
        "masks": [rle.encode(mask) for mask in result.masks],
    }
