"""Sessions on a GPU that runs nothing until it is waited for: nothing is read too early or let go too soon."""

from __future__ import annotations

import ctypes
import weakref

import numpy as np
import pytest

from . import test_tensorrt
from .fake_gpu import FakeStream, OnGPU, on_host
from .fake_tensorrt import toy_inputs, toy_output

engine, open_session = test_tensorrt.engine, test_tensorrt.open_session


def held_by_nobody(inputs: dict) -> dict:
    """Copies that are poisoned as soon as whoever is given them lets them go."""
    return {name: on_host(array) for name, array in inputs.items()}


def test_the_run_is_not_over_when_it_is_queued(open_session):
    """So the tests below can fail: the output is not there yet, and inputs on the GPU are still to be read."""
    session, inputs = open_session(), toy_inputs(2)
    x = OnGPU(inputs["x"], "cai")
    y = session.enqueue({"x": x, "frame": inputs["frame"]})["y"]
    assert not y.ready.is_done
    seven = np.full_like(inputs["x"], 7)
    ctypes.memmove(x.ptr, seven.ctypes.data, seven.nbytes)
    np.testing.assert_array_equal(y.to_numpy(), toy_output({"x": seven, "frame": inputs["frame"]}))
    assert y.ready.is_done


def test_arrays_of_the_host_may_be_changed_at_once(open_session):
    session, inputs, later = open_session(), toy_inputs(2), toy_inputs(3, seed=1)
    y = session.enqueue(inputs)["y"].copy()
    expected = toy_output(inputs)
    inputs["x"][:] = 7
    z = session.enqueue(later)["y"]
    np.testing.assert_array_equal(z.to_numpy(), toy_output(later))
    np.testing.assert_array_equal(y.to_numpy(), expected)


def test_numpy_outputs_are_finished_and_inputs_free(open_session):
    session, inputs = open_session(), toy_inputs(2)
    expected = toy_output(inputs)
    y = session.run(inputs)["y"]
    inputs["x"][:] = 7
    session.run(inputs)
    np.testing.assert_array_equal(y, expected)


def test_inputs_in_flight_are_held(open_session):
    session, inputs = open_session(), toy_inputs(2)
    y = session.enqueue(held_by_nobody(inputs))["y"]
    np.testing.assert_array_equal(y.to_numpy(), toy_output(inputs))


@pytest.mark.parametrize("protocol", ["dlpack", "cai"])
@pytest.mark.parametrize("offset", [0, 16], ids=["bound", "copied"])
def test_foreign_inputs_in_flight_are_held_and_read_after_their_stream(open_session, protocol, offset):
    """Their library gives freed memory to the next array at once, as torch and CuPy do."""
    session, inputs, theirs = open_session(), toy_inputs(2), FakeStream(next(FakeStream.handles))
    given = {name: OnGPU(array, protocol, offset, stream=theirs) for name, array in inputs.items()}
    y = session.enqueue(given)["y"]
    del given
    np.testing.assert_array_equal(y.to_numpy(), toy_output(inputs))


def test_all_inputs_in_flight_are_held_when_runs_follow_each_other(open_session):
    session, runs = open_session(), [toy_inputs(2, seed) for seed in range(3)]
    kept = [session.enqueue(held_by_nobody(inputs))["y"].copy() for inputs in runs]
    for y, inputs in zip(kept, runs, strict=True):
        np.testing.assert_array_equal(y.to_numpy(), toy_output(inputs))


def test_inputs_are_let_go_once_they_are_read(open_session):
    session, inputs = open_session(), toy_inputs(2)
    given = OnGPU(inputs["x"], "cai")
    alive = weakref.ref(given)
    y = session.enqueue({"x": given, "frame": inputs["frame"]})["y"]
    del given
    assert alive() is not None
    y.to_numpy()
    session.enqueue(inputs)
    assert alive() is None


def test_a_second_session_waits_for_the_first(open_session):
    first, second, inputs = open_session(), open_session(), toy_inputs(2)
    y = first.enqueue(inputs)["y"]
    z = second.enqueue({"x": y, "frame": inputs["frame"]})["y"]
    np.testing.assert_array_equal(z.to_numpy(), toy_output({"x": toy_output(inputs), "frame": inputs["frame"]}))


def test_the_next_run_waits_until_the_last_ones_outputs_are_read(open_session):
    first, second, inputs = open_session(), open_session(), toy_inputs(2)
    z = second.enqueue({"x": first.enqueue(inputs)["y"], "frame": inputs["frame"]})["y"]
    later = first.enqueue(toy_inputs(2, seed=1))["y"]
    np.testing.assert_array_equal(later.to_numpy(), toy_output(toy_inputs(2, seed=1)))
    np.testing.assert_array_equal(z.to_numpy(), toy_output({"x": toy_output(inputs), "frame": inputs["frame"]}))


def test_a_session_that_reads_its_own_output_does_not_wait_for_itself(open_session):
    session, inputs = open_session(), toy_inputs(2)
    y = session.enqueue(inputs)["y"].copy()
    z = session.enqueue({"x": y, "frame": inputs["frame"]})["y"]
    assert not session.stream.waited
    np.testing.assert_array_equal(z.to_numpy(), toy_output({"x": toy_output(inputs), "frame": inputs["frame"]}))


def test_closing_waits_for_the_work_under_way(open_session):
    session, inputs = open_session(), toy_inputs(2)
    y = session.enqueue(held_by_nobody(inputs))["y"]
    session.close()
    assert y.ready.is_done
    np.testing.assert_array_equal(y.to_numpy(), toy_output(inputs))
