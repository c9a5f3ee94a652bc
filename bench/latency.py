"""How fast is a bundle? Per component and end to end, every backend and precision interleaved in one run.

python bench/latency.py BUNDLE [--backends B ...] [--precisions P ...] [--repeats N] [--json F]
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.models.config import CSTMConfig
from cstm.models.contract import CLIP, FRAME, TEXT_ENCODER
from cstm.progress import progress
from cstm.runtime.backends import Backend, backend, runnable
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.device_array import DeviceArray
from cstm.runtime.postprocess import masks, probabilities
from cstm.runtime.preprocess import clip_windows
from cstm.runtime.timing import interleaved
from cstm.runtime.video import open_video

LEAST_REPEATS = 30
WARM_UP = 3
SETTLE = 0.1  # seconds before each turn: the other backends' threads spin on for a while
END_TO_END, CHAIN, DECODE, PREPROCESS, POSTPROCESS = "end to end", "chain", "decode", "pre-process", "post-process"
EAGER = ("torch", "fp32")

Item = TypeVar("Item")
Part = tuple[str, str, str]  # backend, precision, part; the first two empty where no backend takes part


@dataclass(frozen=True)
class LatencyRow:
    """Milliseconds that one part takes: percentiles over the repeats. ratio: PyTorch eager's median over this one's,
    None where it has no such part."""

    backend: str
    precision: str
    part: str
    p50_ms: float
    p90_ms: float
    p99_ms: float
    ratio: float | None
    repeats: int


def latency(
    bundle: Bundle, pairs: list[tuple[Backend, str]], repeats: int = LEAST_REPEATS, show: bool = False
) -> list[LatencyRow]:
    """The rows of batch 1 and one sentence.

    pairs: from `with_eager`. Every pair takes its turn in each repeat, PyTorch eager among them. Parts: the components
    one by one; "chain", all of them but the text encoder, which runs once a sentence, linked where the bundle has them
    so; decode, pre-process and post-process of one frame; "end to end", their sum with the chain. show: a bar on
    standard error.
    """
    text = bundle.reader(DEMO_SENTENCES[0]).inputs
    with ExitStack() as stack, progress("measuring", WARM_UP + repeats, shown=show) as bar:
        frames = stack.enter_context(_Frames(bundle.config))
        turns = {}
        for found, precision in pairs:
            chain = stack.enter_context(Chain(bundle.config, found.open_program(bundle, precision)))
            parts = stack.enter_context(Chain(bundle.config, found.open(bundle, precision)))
            turns[found.name, precision] = _Turn(chain, parts, text, frames)

        def next_frame() -> None:
            frames.advance()
            bar.advance()

        interleaved([next_frame, *turns.values()], repeats, WARM_UP, SETTLE)
    spent: dict[Part, list[float]] = {("", "", part): seconds for part, seconds in frames.seconds.items()}
    for pair, turn in turns.items():
        spent |= {(*pair, part): seconds for part, seconds in turn.seconds.items()}
    return to_rows({part: seconds[-repeats:] for part, seconds in spent.items()})


def with_eager(
    bundle: Bundle, backends: list[str] | None = None, precisions: list[str] | None = None
) -> list[tuple[Backend, str]]:
    """What runs here of what is asked for, and PyTorch eager before it."""
    pairs, _ = runnable(bundle, backends, precisions)
    return [(backend(EAGER[0]), EAGER[1]), *(pair for pair in pairs if (pair[0].name, pair[1]) != EAGER)]


def to_rows(parts: Mapping[Part, Sequence[float]]) -> list[LatencyRow]:
    """The seconds of each part's repeats -> its row."""
    rows = []
    for (name, precision, part), seconds in parts.items():
        p50, p90, p99 = (1e3 * float(np.percentile(seconds, q)) for q in (50, 90, 99))
        eager = parts.get((*EAGER, part))
        ratio = 1e3 * float(np.median(eager)) / p50 if eager else None
        rows.append(LatencyRow(name, precision, part, p50, p90, p99, ratio, len(seconds)))
    return rows


class _Frames:
    """The demo clip over and over. A context manager.

    pixels: of the frame at hand, as a chain takes them. size: its own, (H, W). both: seconds that decoding and
    pre-processing took; seconds: of each apart, one for each frame so far.
    """

    def __init__(self, config: CSTMConfig):
        self.seconds: dict[str, list[float]] = {DECODE: [], PREPROCESS: []}
        self._windows = self._endless(config)
        self.pixels, self.size, self.both = next(self._windows)

    def advance(self) -> None:
        """On to the next frame."""
        self.pixels, self.size, self.both = next(self._windows)

    def _endless(
        self, config: CSTMConfig
    ) -> Generator[tuple[dict[str, np.ndarray], tuple[int, int], float], None, None]:
        while True:
            with open_video(DEMO_VIDEO) as video:
                decoder = _Timed(video)
                windows = _Timed(clip_windows(decoder, config))
                for frame, pixels, clip in windows:
                    decoding, both = decoder.take(), windows.take()
                    self.seconds[DECODE].append(decoding)
                    self.seconds[PREPROCESS].append(both - decoding)
                    yield {FRAME: pixels[None], CLIP: clip[None]}, frame.image.shape[:2], both

    def __enter__(self) -> _Frames:
        return self

    def __exit__(self, *_: object) -> None:
        self._windows.close()


class _Timed(Iterator[Item]):
    """An iterator that counts the seconds its source takes."""

    def __init__(self, source: Iterable[Item]):
        self._source, self._seconds = iter(source), 0.0

    def __next__(self) -> Item:
        start = time.perf_counter()
        try:
            return next(self._source)
        finally:
            self._seconds += time.perf_counter() - start

    def take(self) -> float:
        """The seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class _Turn:
    """A network on the frame at hand, for a sentence that it has read. chain: as it runs. parts: its components one by
    one. seconds: of each part, one for each call."""

    def __init__(self, chain: Chain, parts: Chain, text: dict[str, np.ndarray], frames: _Frames):
        self.chain, self.parts, self.text, self.frames = chain, parts, text, frames
        self.language_plan = chain.language_plan(text)
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def __call__(self) -> None:
        """Time the whole, then each component."""
        start = time.perf_counter()
        logits = self.chain.mask_logits(self.frames.pixels, self.language_plan)
        answered = time.perf_counter()
        masks(probabilities(logits), self.frames.size, self.chain.config.mask_rule)
        done = time.perf_counter()
        self.seconds[CHAIN].append(answered - start)
        self.seconds[POSTPROCESS].append(done - answered)
        self.seconds[END_TO_END].append(self.frames.both + done - start)
        values = self.frames.pixels | self.language_plan | self.text
        for name, component in self.parts.components.items():
            inputs = component.pick(values)
            start = time.perf_counter()
            outputs = self.parts.sessions[name].enqueue(inputs)
            _finish(outputs)
            self.seconds[name].append(time.perf_counter() - start)
            if name != TEXT_ENCODER:
                values |= outputs


def _finish(outputs: dict) -> None:
    """Wait for outputs that are still being made; all others, ONNX Runtime's on a GPU too, are there already."""
    for array in outputs.values():
        if isinstance(array, DeviceArray):
            array.stream.sync()


if __name__ == "__main__":
    from cstm.commands.main import script

    sys.exit(script("latency"))
