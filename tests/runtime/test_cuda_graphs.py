"""Runs that come again are replayed, answer the same, and where that cannot be, all goes on without."""

from __future__ import annotations

import numpy as np
import pytest

from cstm.runtime import cuda_graphs

from . import test_tensorrt
from .fake_gpu import FakeGraphBuilder, OnGPU
from .fake_tensorrt import toy_inputs, toy_output

engine, open_session = test_tensorrt.engine, test_tensorrt.open_session


@pytest.fixture(autouse=True)
def launched(monkeypatch):
    """How often a graph was launched."""
    monkeypatch.delenv(cuda_graphs.SWITCH, raising=False)
    monkeypatch.setattr(FakeGraphBuilder, "launched", 0)
    return lambda: FakeGraphBuilder.launched


def check(session, batch, seed=0):
    inputs = toy_inputs(batch, seed)
    np.testing.assert_array_equal(session.run(inputs)["y"], toy_output(inputs))


def test_a_run_is_recorded_when_it_comes_again_and_then_replayed(open_session, launched):
    session = open_session()
    check(session, 2)
    assert launched() == 0
    check(session, 2, seed=1)  # recorded, and proved by a replay
    assert launched() == 1
    for seed in range(2, 5):
        check(session, 2, seed)
    assert launched() == 4 and session.graphs.problem is None


def test_each_batch_and_address_has_a_graph_of_its_own(open_session, launched):
    session, kept = open_session(), [OnGPU(toy_inputs(2, seed)["x"], "cai") for seed in range(2)]
    for _ in range(3):
        for batch in (1, 3):
            check(session, batch)
        for seed, x in enumerate(kept):
            frame = toy_inputs(2, seed)["frame"]
            y = session.enqueue({"x": x, "frame": frame})["y"]
            np.testing.assert_array_equal(y.to_numpy(), toy_output(toy_inputs(2, seed)))
    assert launched() == 2 * 4


def test_no_more_are_kept_than_a_few(open_session):
    session = open_session()
    for seed in range(cuda_graphs.MOST + 3):
        session.enqueue({"x": OnGPU(toy_inputs(2, seed)["x"], "cai"), "frame": toy_inputs(2)["frame"]})
    assert len(session.graphs._graphs) == cuda_graphs.MOST


def wrong_replays(engine, monkeypatch):
    """A replay does what the graph was recorded to do, and spoils it."""
    honest = FakeGraphBuilder.launch

    def launch(self, stream):
        honest(self, stream)
        stream.queue.add(lambda: test_tensorrt.array_of(engine.context).fill(7))

    monkeypatch.setattr(FakeGraphBuilder, "launch", launch)


def no_recording(engine, monkeypatch):
    def refuse(self, mode):
        raise RuntimeError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")

    monkeypatch.setattr(FakeGraphBuilder, "begin_building", refuse)


def engine_refuses(engine, monkeypatch):
    engine.context.is_stream_capturable = lambda stream: False


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (wrong_replays, "its outputs differ by"),
        (no_recording, "CAPTURE_UNSUPPORTED"),
        (engine_refuses, "the engine cannot be recorded"),
    ],
)
def test_without_graphs_all_goes_on_and_the_log_says_why(open_session, engine, monkeypatch, caplog, spoil, reason):
    spoil(engine, monkeypatch)
    session = open_session()
    for seed in range(4):
        check(session, 2, seed)
    assert reason in session.graphs.problem
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("toy: no CUDA graphs:") and reason in said


def test_they_can_be_switched_off(open_session, launched, monkeypatch):
    monkeypatch.setenv(cuda_graphs.SWITCH, "0")
    session = open_session()
    for seed in range(3):
        check(session, 2, seed)
    assert launched() == 0 and session.graphs.problem == "CSTM_CUDA_GRAPHS=0"
