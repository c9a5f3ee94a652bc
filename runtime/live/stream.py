"""A stream of masks: a source read in a thread of its own, and segmented as its policy has it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np

from cstm.errors import RequestError
from cstm.models.config import CSTMConfig
from cstm.runtime.finder import NOTHING, Finder
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.live.captured import Captured
from cstm.runtime.live.handover import HELD, NO_MASKS, SEGMENTED, Counts, Handover, Ready
from cstm.runtime.live.motion import moved
from cstm.runtime.live.policy import Policy
from cstm.runtime.preprocess import clip_windows
from cstm.runtime.presence import Told, Track
from cstm.runtime.text import Query
from cstm.runtime.video_file import DEFAULT_FPS

BETWEEN = (None, "hold", "move")
STOPS_WITHIN = 2.0  # seconds
MOVED = "moved"


class _Found(NamedTuple):
    """What the network found in a frame."""

    ready: Ready
    masks: np.ndarray
    scores: np.ndarray
    told: Told
    sentences: tuple[str, ...]
    failed: tuple[str, ...]


class LiveSource(Protocol):
    """Frames as they are captured: an iterator for each connection, over frames of one size that follow one another.

    name: as it may be told. stop: from another thread; no frame follows the one that is being read.
    """

    name: str

    @property
    def fps(self) -> float | None:
        """Frames a second; None before that is known."""

    def __iter__(self) -> Iterator[Iterator[Captured]]: ...

    def stop(self) -> None:
        """As said above."""


@dataclass(frozen=True, kw_only=True)
class LiveMasks(FrameMasks):
    """As FrameMasks, of a stream.

    sentences: whose masks they are, in their order. how: "segmented"; "held" or "moved", the masks of an earlier frame.
    captured: when the frame was, in seconds since 1970. age: seconds from then until its masks were made. connection:
    to the source, from 1. failed: sentences for which the network gave no numbers; their masks are empty.
    counts: of all frames of the stream, so far.
    """

    sentences: tuple[str, ...]
    how: str
    captured: float
    age: float
    connection: int
    failed: tuple[str, ...]
    counts: Counts


class Stream:
    """Masks, as they are made: iterate (`for`, or `async for`), from one thread; a context manager.

    source: read ahead in a thread from now on. sentences: may be changed by any thread, from the next frame on. policy:
    which frames are segmented. between: what the others get: None, they are left out; "hold", the masks before theirs;
    "move", those moved along with the picture. read: how sentences are read. track: makes what follows
    their actors' presence.
    Ends when the source does; errors of the source come after the last masks.
    """

    def __init__(
        self,
        finder: Finder,
        source: LiveSource,
        read: Callable[[str | list[str]], list[Query]],
        sentences: str | list[str],
        policy: Policy,
        between: str | None = None,
        clip_fps: float | None = None,
        track: Callable[[], Track] = lambda: Track(None),
    ):
        if between not in BETWEEN:
            raise RequestError(f"between={between!r}: must be None, 'hold' or 'move'")
        self.source, self.policy, self.between = source, policy, between
        self._finder, self._read_sentences = finder, read
        self._queries = read(sentences)
        self._handover = Handover(policy)
        self._last: _Found | None = None
        self._new_track, self._track = track, track()
        self._asked: Future[LiveMasks | None] | None = None
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="cstm-stream")
        self._to_unix = time.time() - time.monotonic()
        arguments = (source, self._handover, finder.config, clip_fps)
        self._reader = threading.Thread(target=_read, args=arguments, name="cstm-read", daemon=True)
        self._reader.start()

    @property
    def sentences(self) -> tuple[str, ...]:
        """Which are looked for."""
        return tuple(query.sentence for query in self._queries)

    @sentences.setter
    def sentences(self, sentences: Iterable[str]) -> None:
        """QueryError, and nothing changes, where one cannot be read."""
        self._queries = self._read_sentences(list(sentences))

    @property
    def fps(self) -> float:
        """Frames a second of the source, about; a guess before its first frame."""
        return self.source.fps or DEFAULT_FPS

    @property
    def counts(self) -> Counts:
        """Of all frames, so far."""
        return self._handover.counts

    def __iter__(self) -> Iterator[LiveMasks]:
        return self

    def __next__(self) -> LiveMasks:
        while (taken := self._handover.take()) is not None:
            ready, passed_over = taken
            if passed_over is None:
                return self._segment(ready)
            found = self._carried(ready) if self.between else None
            if found:
                return found
            self._handover.became(NO_MASKS if self.between else passed_over)
        self.close()
        raise StopIteration

    def __aiter__(self) -> AsyncIterator[LiveMasks]:
        return self

    async def __anext__(self) -> LiveMasks:
        # One that nobody waits for any more, as after a timeout, is the next one's.
        self._asked = self._asked or self._asking.submit(next, self, None)
        found = await asyncio.shield(asyncio.wrap_future(self._asked))
        self._asked = None
        if found is None:
            raise StopAsyncIteration
        return found

    def close(self) -> None:
        """Stop the source, at most two seconds after. May be called again, and by any thread."""
        self.source.stop()
        self._handover.close()
        self._reader.join(STOPS_WITHIN)
        self._asking.shutdown(wait=False)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _segment(self, ready: Ready) -> LiveMasks:
        queries = self._queries
        logits = self._finder.logits(ready.pixels, ready.clip, self._finder.language_plans(queries))
        broken = ~np.isfinite(logits).all((1, 2, 3))
        logits = np.where(broken[:, None, None, None], np.float32(NOTHING), logits)
        masks, scores = self._finder.masks(logits, ready.frame.image.shape[:2])
        sentences = tuple(query.sentence for query in queries)
        failed = tuple(sentence for sentence, bad in zip(sentences, broken, strict=True) if bad)
        last = self._last
        if last and (last.sentences != sentences or last.ready.frame.connection != ready.frame.connection):
            self._track = self._new_track()
        told = self._track(logits, ready.frame.time)
        self._last = _Found(ready, masks, scores, told, sentences, failed)
        return self._result(ready.frame, self._last, SEGMENTED)

    def _carried(self, ready: Ready) -> LiveMasks | None:
        """The masks of the last segmented frame for this one; None where there are none of this connection."""
        last = self._last
        if last is None or last.ready.frame.connection != ready.frame.connection:
            return None
        if self.between == "hold":
            return self._result(ready.frame, last, HELD)
        masks = moved(last.masks, last.ready.pixels, ready.pixels)
        return self._result(ready.frame, last._replace(masks=masks), MOVED)

    def _result(self, frame: Captured, found: _Found, how: str) -> LiveMasks:
        self._handover.became(SEGMENTED if how == SEGMENTED else HELD)
        return LiveMasks(
            frame.index,
            frame.time,
            frame.image,
            found.masks,
            found.scores,
            *found.told,
            sentences=found.sentences,
            how=how,
            captured=frame.at + self._to_unix,
            age=time.monotonic() - frame.at,
            connection=frame.connection,
            failed=found.failed,
            counts=self.counts,
        )


def _read(source: LiveSource, handover: Handover, config: CSTMConfig, clip_fps: float | None) -> None:
    """The reading thread: frames become clips, and are handed over until nobody wants more."""
    error: BaseException | None = None
    try:
        for frames in source:
            for frame, pixels, clip in clip_windows(_counted(frames, handover), config, clip_fps=clip_fps):
                assert isinstance(frame, Captured)
                if not handover.put(Ready(frame, pixels, clip)):
                    return
    except BaseException as raised:
        error = raised
    finally:
        source.stop()
        handover.end(error)


def _counted(frames: Iterator[Captured], handover: Handover) -> Iterator[Captured]:
    for frame in frames:
        handover.decoded()
        yield frame
