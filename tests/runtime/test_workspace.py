"""Scratch memory that sessions take turns with, on a GPU that runs nothing until it is waited for."""

from __future__ import annotations

import numpy as np

from cstm.runtime.workspace import Workspace

from . import test_tensorrt
from .fake_gpu import FakeDevice, FakeStream
from .fake_tensorrt import toy_inputs, toy_output

engine, open_session = test_tensorrt.engine, test_tensorrt.open_session


def test_two_sessions_share_one_block_and_the_second_waits(open_session):
    """Both queues hold work that passes through the block; whoever is waited for first must find it as it left it."""
    workspace, runs = Workspace(), [toy_inputs(2, seed) for seed in range(2)]
    first, second = open_session(workspace=workspace), open_session(workspace=workspace)
    y, z = first.enqueue(runs[0])["y"], second.enqueue(runs[1])["y"]
    np.testing.assert_array_equal(z.to_numpy(), toy_output(runs[1]))
    np.testing.assert_array_equal(y.to_numpy(), toy_output(runs[0]))
    assert second.stream.waited


def test_half_a_run_is_not_disturbed(open_session):
    """The first session's run is half done when the second's begins."""
    workspace, runs = Workspace(), [toy_inputs(2, seed) for seed in range(2)]
    first, second = open_session(workspace=workspace), open_session(workspace=workspace)
    y = first.enqueue(runs[0])["y"]
    first.stream.queue.run(first.stream.queue.put - 1)  # all but the last step
    z = second.enqueue(runs[1])["y"]
    np.testing.assert_array_equal(z.to_numpy(), toy_output(runs[1]))
    np.testing.assert_array_equal(y.to_numpy(), toy_output(runs[0]))


def test_it_grows_once_and_what_used_the_smaller_block_is_done_before_that_is_freed(open_session, monkeypatch):
    workspace, runs = Workspace(), [toy_inputs(batch) for batch in (1, 3)]
    first, second = open_session(workspace=workspace), open_session(workspace=workspace)
    y, z = first.enqueue(runs[0])["y"], second.enqueue(runs[1])["y"]
    np.testing.assert_array_equal(z.to_numpy(), toy_output(runs[1]))
    np.testing.assert_array_equal(y.to_numpy(), toy_output(runs[0]))
    monkeypatch.setattr(FakeDevice, "allocated", 0)
    stream = FakeStream(next(FakeStream.handles))
    with workspace.held(1, stream) as small, workspace.held(100, stream) as large:
        assert small == large
    assert FakeDevice.allocated == 0


def test_a_session_alone_waits_for_nothing(open_session):
    session = open_session()
    for seed in range(3):
        session.enqueue(toy_inputs(2, seed))
    assert not session.stream.waited
