"""What holds on a GPU that does nothing before it is waited for, by our code and the real cuda-core.

To be run where `helpers` says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from cstm.errors import ContractError, EngineError
from cstm.runtime.cuda_graphs import record
from cstm.runtime.device_array import DEFAULT_STREAM, DeviceArray, cuda_core, pinned, view
from cstm.runtime.workspace import Workspace

from ..fake_tensorrt import toy_inputs, toy_output
from .helpers import VALUES, Theirs, driver, on_gpu, open_session, out_of_order, put, refused, two_streams

SCENARIOS: dict[str, Callable[[], None]] = {}
ZEROS = np.zeros_like(VALUES)
PROTOCOLS = ("dlpack", "cai")
equal = np.testing.assert_array_equal


def scenario(function: Callable[[], None]) -> Callable[[], None]:
    SCENARIOS[function.__name__] = function
    return function


# The driver: without these the others could not fail.


@scenario
def nothing_runs_until_it_is_waited_for():
    stream, other = two_streams()
    array, filled = on_gpu(stream), stream.record()
    assert not filled.is_done
    assert driver().cuStreamQuery(stream.handle)[0] == driver().CUresult.CUDA_ERROR_NOT_READY
    assert np.isnan(out_of_order(array, other)).all()
    equal(out_of_order(array, stream), VALUES)
    assert filled.is_done


@scenario
def each_way_to_wait_gets_it_done():
    stream, other = two_streams()
    for wait in (
        stream.sync,
        lambda: stream.record().sync(),
        lambda: (other.wait(stream.record()), other.sync()),
        driver().cuCtxSynchronize,
    ):
        array = on_gpu(stream)
        wait()
        equal(out_of_order(array, other), VALUES)


@scenario
def fills_run_in_order_and_copies_may_block():
    stream, _ = two_streams()
    array, host = on_gpu(stream), np.empty_like(VALUES)
    for pattern in (np.uint8(3), np.uint16(515), np.uint32(2**31 + 7)):
        array.owner.fill(pattern.tobytes(), stream=stream)
        cuda_core().Stream.from_handle(DEFAULT_STREAM).wait(stream)
        driver().cuMemcpy(host.ctypes.data, array.ptr, array.nbytes)
        equal(host.view(pattern.dtype), pattern)


@scenario
def an_event_is_where_its_stream_was():
    stream, other = two_streams()
    array = on_gpu(stream)
    filled = stream.record()
    array.assign(ZEROS)
    filled.sync()
    equal(out_of_order(array, other), VALUES)


@scenario
def what_fails_is_told_where_it_is_waited_for():
    stream, _ = two_streams()
    array = on_gpu(stream)
    beyond = DeviceArray(None, array.ptr + 2**30, array.shape, array.dtype, stream)
    with refused(EngineError, "the GPU failed finishing its work"):
        beyond.to_numpy()


# DeviceArray.


@scenario
def reading_waits_for_the_copy():
    stream, _ = two_streams()
    equal(on_gpu(stream).to_numpy(), VALUES)


@scenario
def reading_on_another_stream_waits_for_what_fills_the_array():
    stream, other = two_streams()
    array = on_gpu(stream)
    equal(array[1:].to_numpy(other), VALUES[1:])
    equal(on_gpu(stream).head(1).to_numpy(other), VALUES[:1])


@scenario
def an_array_of_another_stream_is_copied_after_it_is_filled():
    stream, other = two_streams()
    there = DeviceArray.empty(VALUES.shape, np.float32, other)
    there.assign(on_gpu(stream))
    equal(there.to_numpy(), VALUES)


@scenario
def copies_are_their_own():
    stream, other = two_streams()
    array = on_gpu(stream)
    twin = array.copy()
    array.assign(ZEROS)
    equal(twin.to_numpy(other), VALUES)
    equal(array.to_numpy(), ZEROS)


@scenario
def freed_memory_stays_until_its_stream_is_done_with_it():
    stream, _ = two_streams()
    array = on_gpu(stream)
    twin, freed = array.copy(), DeviceArray(None, array.ptr, array.shape, array.dtype, stream)
    del array
    equal(twin.to_numpy(), VALUES)
    assert np.isnan(freed.to_numpy()).all()


@scenario
def arrays_go_to_others_and_come_back_in_order():
    """Ours is handed on, and another's is taken, by each protocol, on three streams."""
    stream, other = two_streams()
    for protocol in PROTOCOLS:
        seen = view(Theirs(VALUES, protocol, stream), other)
        assert seen.stream == other and (seen.shape, seen.dtype) == (VALUES.shape, VALUES.dtype)
        equal(seen.to_numpy(two_streams()[0]), VALUES)


@scenario
def the_default_stream_is_meant_where_none_is_named():
    stream, _ = two_streams()
    default = cuda_core().Stream.from_handle(DEFAULT_STREAM)
    theirs = Theirs(VALUES, "cai", default)
    theirs.__cuda_array_interface__["stream"] = None
    equal(view(theirs, stream).to_numpy(), VALUES)
    ours = on_gpu(stream)
    assert ours.__dlpack__() and ours.__dlpack_device__() == (2, 0)
    equal(out_of_order(ours, default), VALUES)


@scenario
def what_cannot_be_used_is_refused():
    stream, _ = two_streams()
    theirs = Theirs(VALUES, "cai", stream)
    there = theirs.__cuda_array_interface__
    for changed, said in (
        ({"strides": (4, 8, 96)}, "not C-contiguous"),
        ({"data": (VALUES.ctypes.data, False)}, "x is a foreign array in host memory"),
    ):
        theirs.__cuda_array_interface__ = there | changed
        with refused(ContractError, said):
            view(theirs, stream, "x")
    with refused(ContractError, "x is a foreign array in host memory"):
        view(VALUES, stream, "x")
    with refused(EngineError, "Fake GPU cannot hold another"):
        DeviceArray.empty((2**40,), np.float32, stream)


@scenario
def pinned_memory_is_read_like_any_other():
    stream, _ = two_streams()
    array, owner = pinned(VALUES.shape, VALUES.dtype)
    array[:] = VALUES
    equal(on_gpu(stream, array).to_numpy(), VALUES)
    del owner


@scenario
def what_is_recorded_runs_when_its_graph_does():
    stream, _ = two_streams()
    source, array = on_gpu(stream), on_gpu(stream, ZEROS)
    graph = record(stream, lambda: array.assign(source))
    equal(array.to_numpy(), ZEROS)
    graph.launch(stream)
    assert not stream.record().is_done
    equal(array.to_numpy(), VALUES)


# Sessions.


@scenario
def a_run_is_not_over_when_it_is_queued():
    session, inputs = open_session(), toy_inputs(2)
    y = session.enqueue(inputs)["y"]
    assert not y.ready.is_done
    assert np.isnan(out_of_order(y, two_streams()[0])).all()
    equal(y.to_numpy(), toy_output(inputs))
    assert y.ready.is_done


@scenario
def arrays_of_the_host_may_be_changed_at_once():
    session, runs = open_session(), [toy_inputs(2, seed) for seed in range(3)]
    expected, outputs = [toy_output(inputs) for inputs in runs], []
    for inputs in runs:
        outputs.append(session.enqueue(inputs)["y"].copy())
        inputs["x"].fill(7)
    for y, values in zip(outputs, expected, strict=True):
        equal(y.to_numpy(), values)


@scenario
def inputs_in_flight_are_held():
    """Those that are bound where they lie, and those that lie badly and are copied."""
    for protocol in PROTOCOLS:
        for rows in (slice(0, 2), slice(1, 3)):
            session, inputs, (theirs, _) = open_session(), toy_inputs(3), two_streams()
            given = {name: Theirs(array, protocol, theirs, rows) for name, array in inputs.items()}
            y = session.enqueue(given)["y"]
            del given
            theirs.sync()
            equal(y.to_numpy(), toy_output(inputs)[rows])


@scenario
def a_second_session_waits_for_the_first():
    first, second, inputs = open_session(), open_session(), toy_inputs(2)
    z = second.enqueue({"x": first.enqueue(inputs)["y"], "frame": inputs["frame"]})["y"]
    equal(z.to_numpy(), toy_output({"x": toy_output(inputs), "frame": inputs["frame"]}))


@scenario
def the_next_run_waits_until_the_last_ones_outputs_are_read():
    first, second, inputs, later = open_session(), open_session(), toy_inputs(2), toy_inputs(2, seed=1)
    z = second.enqueue({"x": first.enqueue(inputs)["y"], "frame": inputs["frame"]})["y"]
    equal(first.enqueue(later)["y"].to_numpy(), toy_output(later))
    equal(z.to_numpy(), toy_output({"x": toy_output(inputs), "frame": inputs["frame"]}))


def half_a_run(workspace: Workspace, inputs: dict) -> DeviceArray:
    """The output of a run that has come as far as to have put something into scratch memory."""
    places = []

    def put_and_mark(stream_handle: int, step: Callable[[], object]) -> None:
        put(stream_handle, step)
        places.append(cuda_core().Stream.from_handle(stream_handle).record())

    y = open_session(put_and_mark, workspace=workspace).enqueue(inputs)["y"]
    places[0].sync()
    return y


@scenario
def sessions_take_turns_with_scratch_memory():
    workspace, runs = Workspace(), [toy_inputs(2, seed) for seed in range(2)]
    y = half_a_run(workspace, runs[0])
    z = open_session(workspace=workspace).enqueue(runs[1])["y"]
    equal(z.to_numpy(), toy_output(runs[1]))
    equal(y.to_numpy(), toy_output(runs[0]))


@scenario
def scratch_memory_that_is_too_small_is_freed_after_its_last_use():
    workspace, inputs, (stream, larger) = Workspace(), toy_inputs(2), two_streams()
    workspace.reserve(2**10, stream)
    y = half_a_run(workspace, inputs)
    workspace.reserve(2**20, larger)
    stream.sync()
    equal(y.to_numpy(), toy_output(inputs))


@scenario
def runs_are_replayed_at_their_own_addresses():
    session, stream = open_session(), two_streams()[0]
    runs = [toy_inputs(2, seed) for seed in range(2)]
    given = [{name: on_gpu(stream, array) for name, array in inputs.items()} for inputs in runs]
    for _ in range(4):
        for arrays, inputs in zip(given, runs, strict=True):
            equal(session.run(arrays)["y"].to_numpy(), toy_output(inputs))
    assert session.graphs.problem is None and all(session.graphs._graphs.values())


@scenario
def another_thread_may_run_a_session():
    session, inputs, stream, found = open_session(), toy_inputs(2), two_streams()[0], []
    given = {name: on_gpu(stream, array) for name, array in inputs.items()}
    thread = threading.Thread(target=lambda: found.append(session.run(given)["y"]))
    thread.start()
    thread.join()
    assert found, "it failed there"
    equal(found[0].to_numpy(), toy_output(inputs))


@scenario
def closing_waits_for_the_work_under_way():
    session = open_session()
    y = session.enqueue(toy_inputs(2))["y"]
    session.close()
    assert y.ready.is_done


@scenario
def a_stream_of_another_library_is_worked_on():
    stream, inputs = two_streams()[0], toy_inputs(2)
    handle = int(stream.handle)
    session = open_session(stream=type("Stream", (), {"__cuda_stream__": lambda self: (0, handle)})())
    y = session.enqueue(inputs)["y"]
    assert int(session.stream.handle) == handle and y.__cuda_array_interface__["stream"] == handle
    stream.sync()
    assert y.ready.is_done
    equal(y.to_numpy(), toy_output(inputs))
