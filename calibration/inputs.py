"""Real inputs for every component: clips and sentences, run through the components before it. Never random data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from cstm.models.config import CSTMConfig
from cstm.models.contract import CLIP, FRAME, chain_inputs
from cstm.runtime.chain import Chain
from cstm.runtime.preprocess import clip_windows
from cstm.runtime.text import SentenceReader
from cstm.runtime.video import open_video


def real_samples(
    config: CSTMConfig, reader: SentenceReader, video: str | Path, sentences: list[str], count: int
) -> dict[str, np.ndarray]:
    """`count` samples as the chain's inputs, by name, stacked: windows spread over the video, sentences in turn."""
    with open_video(video) as opened:
        windows = list(clip_windows(opened, config, every=10))
    places = np.linspace(0, len(windows) - 1, count).round().astype(int)
    samples = []
    for place, sentence in zip(places, islice(cycle(sentences), count), strict=True):
        _, frame, clip = windows[place]
        samples.append({FRAME: frame[None], CLIP: clip[None]} | reader(sentence).inputs)
    return {spec.name: np.concatenate([s[spec.name] for s in samples]) for spec in chain_inputs(config)}


def component_inputs(chain: Chain, samples: dict[str, np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each component's name and inputs for `samples`, in order; the chain makes what later components need."""
    values = dict(samples)
    for name, component in chain.components.items():
        inputs = component.pick(values)
        yield name, inputs
        values |= chain.sessions[name].run(inputs)
