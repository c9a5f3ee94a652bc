"""A bundle, a video and sentences -> masks."""

from __future__ import annotations

import logging
import reprlib
import warnings
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from cstm.errors import QueryError, RequestError
from cstm.runtime.ahead import ahead
from cstm.runtime.bundle import Bundle
from cstm.runtime.finder import Finder
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.live.address import live_address
from cstm.runtime.live.camera import Camera, Limits
from cstm.runtime.live.policy import Policy
from cstm.runtime.live.recorded import Recorded
from cstm.runtime.live.stream import Stream
from cstm.runtime.manifest import REBUILD
from cstm.runtime.opening import open_chain
from cstm.runtime.preprocess import clip_windows, look_ahead
from cstm.runtime.presence import Track
from cstm.runtime.smooth import smooth
from cstm.runtime.text import Query
from cstm.runtime.video import Video, Watched, checked_pace, open_video

ABSENT = KEEP, MARK, HIDE = "keep", "mark", "hide"


class UntrainedWarning(UserWarning):
    """The bundle's weights were not learnt: its masks mean nothing."""


class UnknownWordWarning(UserWarning):
    """A sentence holds words that the network has never seen; it reads them as one and the same unknown word."""


class Segmenter:
    """A loaded bundle, ready for videos. A context manager. Any number of threads may use it; they take turns.
    It can be pickled, and opens again there; in a forked process it says that it cannot run.

    bundle: a bundle's folder. backend: "auto", or a name of `cstm doctor`'s list, which then works or raises; what was
    chosen and why is logged, and is in `reason`.
    precision: "fp32", "fp16", "bf16", "int8" or "int8_bf16" (what INT8 leaves, in BF16); None takes the
    backend's default.
    linked: whether the components run as the one graph that they are linked to, or one by one (to look for a fault);
    None links them where the bundle and the backend do.
    threads: of the CPU, for the network; None takes all. Where several processes run on one machine, give each its
    share: all with all are slower together than one alone.

    On loading, the chain's answer to the bundle's recorded input is compared with the recorded one: ParityError when
    they differ. Also BundleError, EngineError, MissingDependencyError. Warns (UntrainedWarning) of random weights.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        backend: str = "auto",
        precision: str | None = None,
        linked: bool | None = None,
        threads: int | None = None,
    ):
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
        self.config = self.bundle.config
        self._options = linked, threads
        opened = open_chain(self.bundle, backend, precision, linked, threads)
        self.backend, self.precision, self.reason, self.chain = (
            opened.backend,
            opened.precision,
            opened.reason,
            opened.chain,
        )
        self.finder = Finder(self.chain, self.config, self.bundle.max_batch)
        logging.getLogger(__name__).info("%s in %s (%s)", self.backend.name, self.precision, self.reason)
        if not self.bundle.trained:
            warnings.warn("the bundle holds untrained weights: its masks mean nothing", UntrainedWarning, stacklevel=2)

    def segment(
        self,
        video: Video | Watched,
        sentences: str | list[str],
        every: int = 1,
        clip_fps: float | None = None,
        absent: str = KEEP,
        smoothing: bool = False,
    ) -> Generator[FrameMasks, None, None]:
        """The masks of every `every`-th frame, frame by frame, while the video is read, a little ahead, in a thread.

        video: a path, a folder of frames, an iterable of RGB uint8 arrays [H,W,3], or an open Video.
        sentences: one or several; each is read, and its language plan made, once.
        clip_fps: frames a second at which the network watches the video, by the frames' times: the pace that it was
        trained at, for a video of another, such as 60. None takes the frames as they come.
        absent: of ABSENT, what becomes of masks whose actor is not `seen`: "keep" keeps them, as the paper does, and so
        does "mark", for whoever shows them; "hide" empties them. smoothing: mend masks that leave their actor for one
        frame alone; each then comes one segmented frame later.
        QueryError or VideoError at once when they cannot be read; VideoError after the last readable frame when the
        video breaks off.
        """
        queries = self.queries(sentences)
        if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
            raise RequestError(f"every={reprlib.repr(every)}: must be a whole number, 1 or more")
        pace = None if clip_fps is None else checked_pace("clip_fps", clip_fps, RequestError)
        if absent not in ABSENT or (absent != KEEP and not self.bundle.manifest.presence):
            known = f"must be of {', '.join(ABSENT)}" if absent not in ABSENT else f"the bundle cannot tell; {REBUILD}"
            raise RequestError(f"absent={reprlib.repr(absent)}: {known}")
        language_plans = self.finder.language_plans(queries)
        video = video if isinstance(video, Video) else open_video(video)
        return self._frames(video, language_plans, int(every), pace, absent == HIDE, smoothing)

    def stream(
        self,
        source: Video | Watched,
        sentences: str | list[str],
        policy: str = "block",
        between: str | None = None,
        clip_fps: float | None = None,
        limits: Limits | None = None,
    ) -> Stream:
        """Masks of a live source as they are made: see `Stream`. It is read from now on.

        source: "webcam:0", "rtsp://…", "http://…", "https://…", "tcp://…", "udp://…" or "srt://…", which is opened
        again whenever it is lost, within `limits`; or what `segment` takes, which ends.
        policy: "block", every frame in its turn; "latest", the newest one, those that the network comes too late for
        are passed over; "every=N" or "latest,every=N", of every N-th alone. between: what frames get that are passed
        over: None, nothing; "hold", the masks of the one before; "move", those moved along with the picture.
        QueryError, RequestError or VideoError at once where they cannot be read; a camera need not be there yet.
        """
        chosen = Policy.parse(policy)
        pace = None if clip_fps is None else checked_pace("clip_fps", clip_fps, RequestError)
        address = live_address(source)
        if address:
            frames: Camera | Recorded = Camera(address, limits)
        else:
            frames = Recorded(source if isinstance(source, Video) else open_video(source))
        track = partial(Track, self.bundle.manifest.presence)
        return Stream(self.finder, frames, self.queries, sentences, chosen, between, pace, track)

    @property
    def look_ahead(self) -> int:
        """How many frames after a frame the network looks at: with 6, masks are 240 ms old at 25 frames a second."""
        return look_ahead(self.config)

    def queries(self, sentences: str | list[str]) -> list[Query]:
        """The sentences as the network reads them; warns (UnknownWordWarning) of words it has never seen."""
        if not isinstance(sentences, (str, list, tuple)):
            raise QueryError(f"sentences are a {type(sentences).__name__}; give a string, or a list of strings")
        sentences = [sentences] if isinstance(sentences, str) else list(sentences)
        if not sentences:
            raise QueryError("no sentence given; describe an actor, such as 'the dog on the left'")
        queries = [self.bundle.reader(sentence) for sentence in sentences]
        for query in queries:
            if query.unknown:
                unknown = ", ".join(query.unknown)
                warnings.warn(f"{query.sentence!r}: unknown words: {unknown}", UnknownWordWarning, stacklevel=3)
        return queries

    def __reduce__(self) -> tuple:
        """Pickled, it is opened again where it is unpickled: the same bundle, backend and precision."""
        return Segmenter, (self.bundle.path, self.backend.name, self.precision, *self._options)

    def close(self) -> None:
        """Release the sessions."""
        self.chain.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _frames(
        self, video: Video, language_plans: list[dict], every: int, clip_fps: float | None, hide: bool, smoothing: bool
    ) -> Generator[FrameMasks, None, None]:
        track = Track(self.bundle.manifest.presence)
        with video, closing(ahead(clip_windows(video, self.config, every, clip_fps))) as windows:
            targets = (each for each in windows if video.targets is None or each[0].index in video.targets)
            responses = ((frame, self.finder.logits(pixels, clip, language_plans)) for frame, pixels, clip in targets)
            for frame, logits in smooth(responses) if smoothing else responses:
                masks, scores = self.finder.masks(logits, frame.image.shape[:2])
                told = track(logits, frame.time)
                if hide and told.seen is not None:
                    masks[~told.seen] = False
                yield FrameMasks(frame.index, frame.time, frame.image, masks, scores, *told)
