"""How fast is a bundle? Per component and end to end, every backend and precision interleaved in one run.

python bench/latency.py BUNDLE [--backends B ...] [--precisions P ...] [--repeats N] [--json F]
"""

from __future__ import annotations

import platform
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.progress import track
from rich.table import Table

from cstm.console import make_console
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.models.contract import CLIP, FRAME, TEXT_ENCODER
from cstm.runtime.backends import Backend, backend, runnable
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.postprocess import masks, probabilities
from cstm.runtime.preprocess import clip_windows
from cstm.runtime.video import open_video

LEAST_REPEATS = 30
WARM_UP = 3
SETTLE = 0.1  # seconds before each turn: the other backends' threads spin on for a while
END_TO_END, CHAIN, DECODE, PREPROCESS, POSTPROCESS = "end to end", "chain", "decode", "pre-process", "post-process"
EAGER = ("torch", "fp32")


def latency(bundle: Bundle, pairs: list[tuple[Backend, str]], repeats: int = LEAST_REPEATS, show=False) -> list[dict]:
    """Rows {backend, precision, part, p50_ms, p90_ms, p99_ms, ratio}, batch 1, one sentence.

    pairs: from `with_eager`. Every pair takes its turn in each repeat, PyTorch eager among them; ratio: eager's median
    over this one's. Parts: the components; "chain", all of them but the text encoder, which runs once a sentence;
    decode, pre-process and post-process of one frame; "end to end", their sum with the chain.
    """
    samples: dict[tuple, list[float]] = defaultdict(list)
    text = bundle.reader(DEMO_SENTENCES[0]).inputs
    chains = {}
    try:
        for found, precision in pairs:
            chains[found.name, precision] = Chain(bundle.config, found.open(bundle, precision))
        language_plans = {key: chain.language_plan(text) for key, chain in chains.items()}
        steps = range(WARM_UP + repeats)
        frames = _frames(bundle.config, samples)
        for step in track(steps, "measuring", console=make_console(stderr=True), transient=True) if show else steps:
            if step == WARM_UP:
                samples.clear()
            pixels, shared = next(frames)
            for key, chain in chains.items():
                _measure(chain, key, pixels, text, language_plans[key], shared, samples)
    finally:
        for chain in chains.values():
            chain.close()
    return _rows(samples)


def with_eager(bundle: Bundle, backends=None, precisions=None) -> list[tuple[Backend, str]]:
    """What runs here of what is asked for, and PyTorch eager before it."""
    pairs, _ = runnable(bundle, backends, precisions)
    return [(backend(EAGER[0]), EAGER[1]), *(pair for pair in pairs if (pair[0].name, pair[1]) != EAGER)]


def _frames(config, samples):
    """Endless (the chain's pixels, (seconds for both, frame)) over the demo clip; decoding and the rest timed apart."""
    while True:
        with open_video(DEMO_VIDEO) as video:
            decoder = _Timed(video)
            windows = _Timed(clip_windows(decoder, config))
            for frame, pixels, clip in windows:
                samples[DECODE].append(decoder.take())
                both = windows.take()
                samples[PREPROCESS].append(both - samples[DECODE][-1])
                yield {FRAME: pixels[None], CLIP: clip[None]}, (both, frame)


class _Timed:
    """An iterator that counts the seconds its source takes."""

    def __init__(self, source):
        self._source, self._seconds = iter(source), 0.0

    def __iter__(self):
        return self

    def __next__(self):
        start = time.perf_counter()
        try:
            return next(self._source)
        finally:
            self._seconds += time.perf_counter() - start

    def take(self) -> float:
        """The seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def _measure(chain: Chain, key: tuple, pixels, text, language_plan, shared, samples) -> None:
    before, frame = shared
    time.sleep(SETTLE)
    start = time.perf_counter()
    logits = chain.mask_logits(pixels, language_plan)
    answered = time.perf_counter()
    masks(probabilities(logits), frame.image.shape[:2], chain.config.mask_rule)
    done = time.perf_counter()
    samples[(*key, CHAIN)].append(answered - start)
    samples[(*key, POSTPROCESS)].append(done - answered)
    samples[(*key, END_TO_END)].append(before + done - start)
    values = pixels | language_plan | text
    for name, component in chain.components.items():
        inputs = component.pick(values)
        start = time.perf_counter()
        outputs = chain.sessions[name].enqueue(inputs)
        _finish(outputs)
        samples[(*key, name)].append(time.perf_counter() - start)
        if name != TEXT_ENCODER:
            values |= outputs


def _finish(outputs: dict) -> None:
    """Wait for outputs on a device; arrays on the host are there already."""
    for array in outputs.values():
        if not isinstance(array, np.ndarray):
            array.stream.sync()


def _rows(samples: dict) -> list[dict]:
    rows = []
    for key, seconds in samples.items():
        name, precision, part = key if isinstance(key, tuple) else ("", "", key)
        p50, p90, p99 = (1e3 * np.percentile(seconds, q) for q in (50, 90, 99))
        eager = samples.get((*EAGER, part))
        ratio = float(np.median(eager) / np.median(seconds)) if eager else None
        row = {"backend": name, "precision": precision, "part": part, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99}
        rows.append(row | {"ratio": ratio, "repeats": len(seconds)})
    return rows


def table(rows: list[dict], memory: dict[tuple, int]) -> Table:
    """Latencies in ms, frames a second, the ratio to PyTorch eager, and the host memory of a process of its own."""
    shown = Table("backend", "precision", "part", "p50 ms", "p90", "p99", "frames/s", "× eager", "host MB")
    for row in sorted(rows, key=lambda r: (r["backend"], r["precision"])):
        whole = row["part"] == END_TO_END
        used = memory.get((row["backend"], row["precision"]))
        shown.add_row(
            row["backend"],
            row["precision"],
            row["part"],
            *(f"{row[p]:.2f}" for p in ("p50_ms", "p90_ms", "p99_ms")),
            f"{1e3 / row['p50_ms']:.1f}" if whole else "",
            f"{row['ratio']:.2f}" if row["ratio"] else "",
            f"{used / 1e6:.0f}" if whole and used else "",
            end_section=whole,
        )
    return shown


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    from cstm.commands.main import script

    sys.exit(script("latency"))
