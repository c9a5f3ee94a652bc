"""The chain with sessions that count and, as engines do, give the same buffers at every run."""

from __future__ import annotations

import numpy as np
import pytest

from cstm.models.config import CSTMConfig
from cstm.models.contract import FRAME_GRAPH, MASK_LOGITS, TEXT_ENCODER, contract, program
from cstm.runtime.chain import Chain
from cstm.runtime.session import Session

CONFIG = CSTMConfig.from_preset("tiny")


class Counting(Session):
    """Fills its outputs with one more than the sum of its inputs' first values."""

    def __init__(self, specs):
        super().__init__(specs)
        self.buffers = {spec.name: np.zeros(1) for spec in specs.outputs}
        self.runs, self.closed = [], False

    def run(self, inputs):
        assert set(inputs) == {spec.name for spec in self.specs.inputs}
        self.runs.append(inputs)
        for buffer in self.buffers.values():
            buffer[:] = 1 + sum(float(array.flat[0]) for array in inputs.values())
        return self.buffers

    def close(self):
        self.closed = True


@pytest.fixture
def chain():
    return Chain(CONFIG, {name: Counting(component) for name, component in contract(CONFIG).items()})


@pytest.fixture
def inputs(chain):
    text = {spec.name: np.full(1, 2.0) for spec in chain.components[TEXT_ENCODER].inputs}
    return text, {"frame": np.full(1, 3.0), "clip": np.full(1, 5.0)}


def test_a_language_plan_outlives_the_next_one(chain, inputs):
    text, _ = inputs
    language_plan = chain.language_plan(text)
    chain.language_plan({name: array + 1 for name, array in text.items()})
    assert all(array == 5 for array in language_plan.values())


def test_sentences_are_encoded_once_and_components_run_once_a_frame(chain, inputs):
    text, pixels = inputs
    language_plan = chain.language_plan(text)
    for _ in range(3):
        chain.mask_logits(pixels, language_plan)
    runs = {name: len(session.runs) for name, session in chain.sessions.items()}
    assert runs.pop(TEXT_ENCODER) == 1 and set(runs.values()) == {3}
    assert set(pixels) == {"frame", "clip"} and MASK_LOGITS not in language_plan


def test_a_call_is_the_plan_and_the_frame(chain, inputs):
    text, pixels = inputs
    expected = chain.mask_logits(pixels, chain.language_plan(text)).copy()
    np.testing.assert_array_equal(chain(text | pixels), expected)


def test_logits_on_the_gpu_are_brought_to_the_host(chain, inputs):
    class OnGPU:
        def to_numpy(self):
            return np.full(1, 42.0)

    last = next(session for session in chain.sessions.values() if MASK_LOGITS in session.buffers)
    last.run = lambda given: {MASK_LOGITS: OnGPU()}
    text, pixels = inputs
    assert chain.mask_logits(pixels, chain.language_plan(text)) == 42


def test_leaving_closes_every_session(chain):
    with chain as entered:
        assert entered is chain and not any(session.closed for session in chain.sessions.values())
    assert all(session.closed for session in chain.sessions.values())


class Rows(Session):
    """Zeros, but what the linked frame's pixels and sentences begin with, added; batches: of sentences and frames."""

    def __init__(self, specs):
        super().__init__(specs)
        self.batches = []

    def run(self, inputs):
        batch = self.specs.check_inputs(inputs)
        outputs = {spec.name: np.zeros(spec.with_batch(batch), spec.dtype) for spec in self.specs.outputs}
        if self.specs.name == FRAME_GRAPH:
            self.batches.append((batch, len(inputs["frame"])))
            shown = inputs["frame"][:, 0, 0, 0] + inputs["sentence"][:, 0]
            outputs[MASK_LOGITS] += shown[:, None, None, None]
        return outputs


def frames(count):
    specs = program(CONFIG)[FRAME_GRAPH].inputs
    pixels = {s.name: np.zeros((count, *s.shape), np.uint8) for s in specs if s.once}
    pixels["frame"] += np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return pixels


def language_plan(count):
    specs = program(CONFIG)[TEXT_ENCODER].outputs
    plan = {s.name: np.zeros(s.with_batch(count), s.dtype) for s in specs}
    plan["sentence"] += 10 * np.arange(count, dtype=np.float32)[:, None]
    return plan


def test_a_linked_network_takes_a_frame_once_for_all_sentences():
    chain = Chain(CONFIG, {name: Rows(part) for name, part in program(CONFIG).items()})
    logits = chain.mask_logits(frames(1), language_plan(3))
    assert chain.sessions[FRAME_GRAPH].batches == [(3, 1)]
    assert logits[:, 0, 0, 0].tolist() == [0, 10, 20]


def test_a_linked_network_takes_other_frames_for_other_sentences_one_by_one():
    chain = Chain(CONFIG, {name: Rows(part) for name, part in program(CONFIG).items()})
    logits = chain.mask_logits(frames(3), language_plan(3))
    assert chain.sessions[FRAME_GRAPH].batches == [(1, 1)] * 3
    assert logits[:, 0, 0, 0].tolist() == [0, 11, 22]


def test_components_one_by_one_are_given_the_frame_for_every_sentence():
    chain = Chain(CONFIG, {name: Rows(component) for name, component in contract(CONFIG).items()})
    given = []
    chain.sessions["spatial_encoder"].enqueue = lambda inputs: (
        given.append(inputs["frame"])
        or {spec.name: np.zeros(spec.with_batch(3), spec.dtype) for spec in chain.components["spatial_encoder"].outputs}
    )
    chain.mask_logits(frames(1), language_plan(3))
    chain.mask_logits(frames(3), language_plan(3))
    assert [len(array) for array in given] == [3, 3]
    assert given[1][:, 0, 0, 0].tolist() == [0, 1, 2]
