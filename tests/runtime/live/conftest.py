"""Streams over a chain that only writes down what it is asked."""

import socket
import time
from itertools import groupby
from operator import attrgetter
from types import SimpleNamespace

import numpy as np
import pytest

from cstm.models.config import CSTMConfig
from cstm.runtime.finder import Finder
from cstm.runtime.live.captured import Captured
from cstm.runtime.live.policy import Policy
from cstm.runtime.live.stream import Stream

CONFIG = CSTMConfig.from_preset("tiny", size=32)


class WritingChain:
    """levels: the grey levels of each clip it was given. wait: called before it answers."""

    def __init__(self, wait=lambda: None):
        self.wait, self.levels, self.read = wait, [], []

    def language_plan(self, text):
        self.read.append(len(text["words"]))
        return {"plan": text["words"]}

    def mask_logits(self, given, plan):
        self.levels.append(given["clip"][0, 0, :, 0, 0].tolist())
        self.wait()
        return np.stack([np.full((1, 32, 32), value, np.float32) for value in plan["plan"]])


def read(sentences):
    """Sentences that are numbers, the logit of each mask."""
    sentences = [sentences] if isinstance(sentences, str) else sentences
    return [SimpleNamespace(sentence=s, inputs={"words": np.array([float(s)], np.float32)}) for s in sentences]


class Frames:
    """A source of grey frames, of level 0, 1, 2, …; gap: seconds between two; connections: the number of each."""

    name, fps = "frames", 25.0

    def __init__(self, count, gap=0.0, connections=None, error=None):
        self.count, self.gap, self.stopped, self.error = count, gap, False, error
        self.connections = connections or [1] * count

    def stop(self):
        self.stopped = True

    def __iter__(self):
        for _, frames in groupby(self.frames(), key=attrgetter("connection")):
            yield frames

    def frames(self):
        for index in range(self.count):
            time.sleep(self.gap)
            if self.stopped:
                return
            image = np.full((20, 24, 3), index % 256, np.uint8)
            yield Captured(index, index / 25, image, time.monotonic(), self.connections[index])
        if self.error:
            raise self.error


@pytest.fixture
def stream():
    """Open a stream of a source; closed at the end. `.chain` is what it asks."""
    opened = []

    def stream(source, sentences="1", policy="block", between=None, chain=None, **options):
        chain = chain or WritingChain()
        made = Stream(Finder(chain, CONFIG, 2), source, read, sentences, Policy.parse(policy), between, **options)
        made.chain = chain
        opened.append(made)
        return made

    yield stream
    for made in opened:
        made.close()


@pytest.fixture
def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
