"""Processes that segment parts of a video, each with a `Segmenter` of its own."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from cstm.errors import CSTMError, EngineError, VideoError, first_line
from cstm.runtime.parts import PartMasks, segment_part
from cstm.runtime.segmenter import Segmenter
from cstm.runtime.video_index import VideoIndex
from cstm.signals import interrupts_blocked

AHEAD = 2  # parts for each worker, at most, that are done or under way and wait for their turn
PATIENCE = 2.0  # seconds that a process has to end


@dataclass(frozen=True)
class Opening:
    """What is opened: as `Segmenter` has it, but that to a worker no number of threads is its share of the cores."""

    bundle: str | Path
    backend: str = "auto"
    precision: str | None = None
    linked: bool | None = None
    threads: int | None = None

    def open(self) -> Segmenter:
        """Here and now."""
        return Segmenter(self.bundle, self.backend, self.precision, self.linked, self.threads)


@dataclass(frozen=True)
class Job:
    """What they segment: as `segment_part` has it."""

    index: VideoIndex
    sentences: list[str]
    every: int = 1
    clip_fps: float | None = None


@dataclass(frozen=True)
class Opened:
    """What a worker says once it is ready. warned: what it has to say of bundle and sentences."""

    backend: str
    precision: str
    warned: list[Warning]


class Crew:
    """The processes. A context manager: they end with it, at once, whatever they are doing.

    opened: is called with what the first one that is ready has opened; all must open the same. report: is called with
    the number of each frame that is finished, in any order.
    A worker's error is raised here; EngineError when one ends.
    """

    def __init__(
        self,
        count: int,
        opening: Opening,
        job: Job,
        opened: Callable[[Opened], None] = lambda opened: None,
        report: Callable[[int], None] = lambda number: None,
    ):
        threads = opening.threads or max((os.cpu_count() or 1) // count, 1)
        self._arguments = replace(opening, threads=threads), job
        self._count, self._say, self._report = count, opened, report
        self._workers: dict[Connection, _Worker] = {}
        self._opened: Opened | None = None
        self._todo: deque[tuple[int, range]] = deque()
        self._done: dict[int, PartMasks | VideoError] = {}
        self._turn = 0  # the place of the part that is given next

    def __enter__(self) -> Crew:
        context = get_context("spawn")
        try:
            with interrupts_blocked():  # a terminal's go to all processes, but only ours is to answer
                for number in range(1, self._count + 1):
                    ours, theirs = context.Pipe()
                    with theirs:
                        process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
                        self._workers[ours] = _Worker(f"worker {number} of {self._count}", process)
                        process.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def segment(self, parts: list[range]) -> Generator[PartMasks, None, None]:
        """The parts' masks, in order; between them, call `attend` often. A part's VideoError is raised in its turn."""
        self._todo = deque(enumerate(parts))
        for self._turn in range(len(parts)):
            while self._turn not in self._done:
                self.attend(None)
            done = self._done.pop(self._turn)
            if isinstance(done, VideoError):
                raise done
            yield done

    def attend(self, seconds: float | None = 0) -> None:
        """Take what workers sent, after waiting so many seconds for it, or, if None, for ever; give idle ones work."""
        self._hand_out()
        for connection in wait(list(self._workers), seconds):
            assert isinstance(connection, Connection)
            self._take(connection)
        self._hand_out()

    def _hand_out(self) -> None:
        for connection, worker in self._workers.items():
            if worker.idle and self._todo and self._todo[0][0] < self._turn + AHEAD * self._count:
                worker.idle, (worker.place, worker.targets) = False, self._todo.popleft()
                with suppress(OSError):  # it has ended, which is seen when it is listened to
                    connection.send(worker.targets)

    def _take(self, connection: Connection) -> None:
        worker = self._workers[connection]
        try:
            sent = connection.recv()
        except (EOFError, OSError):
            raise worker.ended() from None
        if isinstance(sent, int):
            self._report(sent)
            return
        worker.idle = True
        if isinstance(sent, Opened):
            self._agree(worker, sent)
        elif isinstance(sent, (PartMasks, VideoError)):
            self._done[worker.place] = sent
        else:
            raise sent

    def _agree(self, worker: _Worker, sent: Opened) -> None:
        if self._opened is None:
            self._opened = sent
            for warning in sent.warned:
                warnings.warn(warning, stacklevel=2)
            self._say(sent)
        elif (sent.backend, sent.precision) != (self._opened.backend, self._opened.precision):
            first = f"{self._opened.backend} in {self._opened.precision}"
            raise EngineError(
                f"{worker.name} opened {sent.backend} in {sent.precision}, another {first}; name a backend"
            )

    def _end(self) -> None:
        """They write no files and hold nothing that the system does not take back."""
        started = [worker.process for worker in self._workers.values() if worker.process.pid is not None]
        for process in started:
            process.kill()
        for process in started:
            process.join(PATIENCE)
        for connection in self._workers:
            connection.close()
        self._workers.clear()


class _Worker:
    """A process as its parent sees it. idle: whether it waits for a part. place, targets: the latest part, of all."""

    def __init__(self, name: str, process: BaseProcess):
        self.name, self.process = name, process
        self.idle, self.place, self.targets = False, 0, range(0)

    def ended(self) -> EngineError:
        """That it has ended, which it never should by itself."""
        self.process.join(PATIENCE)
        code = self.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        where = f" in frames {self.targets.start} to {self.targets.stop - 1}" if self.targets else ""
        return EngineError(f"{self.name} {how}{where}; where memory ran out, fewer workers need less")


def _work(connection: Connection, opening: Opening, job: Job) -> None:
    """What a worker does, in its own process, until it is killed or its parent is gone."""
    logging.getLogger("cstm").setLevel(logging.ERROR)  # the parent says what is to be said, once
    warnings.simplefilter("ignore")
    try:
        with _opened(connection, opening, job) as segmenter:
            while True:
                targets = connection.recv()
                try:
                    done = segment_part(
                        segmenter, job.index, targets, job.sentences, job.every, job.clip_fps, connection.send
                    )
                except VideoError as error:
                    connection.send(error)
                else:
                    connection.send(done)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        with suppress(OSError):
            connection.send(_told(error))


def _opened(connection: Connection, opening: Opening, job: Job) -> Segmenter:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        segmenter = opening.open()
        segmenter.queries(job.sentences)
    warned = [found.message for found in heard if isinstance(found.message, Warning)]
    connection.send(Opened(segmenter.backend.name, segmenter.precision, warned))
    return segmenter


def _told(error: Exception) -> Exception:
    """An error as another process can have it."""
    if isinstance(error, (CSTMError, OSError, MemoryError)):
        return error
    return EngineError(
        f"a worker failed ({type(error).__name__}: {first_line(error)}); run it without workers to see why"
    )
