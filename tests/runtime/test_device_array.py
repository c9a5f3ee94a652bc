"""DeviceArray on a GPU that does nothing until it is waited for. `test_tensorrt_gpu.py` has a real one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cstm.errors import ContractError, EngineError
from cstm.runtime import device_array
from cstm.runtime.device_array import DEFAULT_STREAM, DeviceArray, cuda_errors, view

from .fake_gpu import FAKE_CUDA, FakeBuffer, FakeDevice, FakeEvent, FakeStream, FakeView, OnGPU, on_host

SHAPE = (2, 3, 4)
VALUES = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)


@pytest.fixture(autouse=True)
def fake_cuda(monkeypatch):
    monkeypatch.setattr(device_array, "cuda_core", lambda: FAKE_CUDA)


@pytest.fixture
def streams():
    return FakeDevice().create_stream(), FakeDevice().create_stream()


def on_gpu(stream, values=VALUES) -> DeviceArray:
    """An array that will hold `values` when its stream has got there."""
    array = DeviceArray.empty(values.shape, values.dtype, stream)
    array.assign(values)
    return array


def read_on(stream, address: int) -> np.ndarray:
    """What another library finds at `address` by a copy on its stream `stream`."""
    found = on_host(np.zeros(SHAPE, np.float32))
    FakeBuffer(found.ctypes.data, found.nbytes).copy_from(FakeBuffer(address, found.nbytes), stream=stream)
    stream.sync()
    return found


def test_nothing_runs_until_it_is_waited_for(streams):
    """So the tests below can fail."""
    array, other = on_gpu(streams[0]), streams[1]
    assert not streams[0].record().is_done
    assert np.isnan(read_on(other, array.ptr)).all()
    np.testing.assert_array_equal(read_on(streams[0], array.ptr), VALUES)


def test_reading_waits_for_the_copy(streams):
    np.testing.assert_array_equal(on_gpu(streams[0]).to_numpy(), VALUES)


def test_rows_lie_where_they_lay_and_are_read_when_they_are_filled(streams):
    """As a chain takes one sentence's language plan after the other."""
    array = on_gpu(streams[0])
    for rows in (slice(1, 2), slice(0, 1), slice(None), slice(2, 1)):
        np.testing.assert_array_equal(array[rows].to_numpy(streams[1]), VALUES[rows])
    assert array[1:].ptr == array.ptr + VALUES[0].nbytes
    for wrong in (0, slice(None, None, 2), (slice(1), 0)):
        with pytest.raises(ContractError, match="a range of its first axis"):
            array[wrong]


def test_reading_on_another_stream_waits_for_what_fills_the_array(streams):
    np.testing.assert_array_equal(on_gpu(streams[0]).to_numpy(streams[1]), VALUES)


def test_copies_are_ordered_and_their_own(streams):
    array = on_gpu(streams[0])
    twin = array.copy()
    array.assign(np.zeros_like(VALUES))
    np.testing.assert_array_equal(twin.to_numpy(streams[1]), VALUES)


def test_an_array_of_another_stream_is_copied_after_it_is_filled(streams):
    elsewhere = DeviceArray.empty(SHAPE, np.float32, streams[1])
    elsewhere.assign(on_gpu(streams[0]))
    np.testing.assert_array_equal(elsewhere.to_numpy(), VALUES)


def test_a_copy_is_ready_before_what_its_stream_does_next(streams):
    """Its consumer waits for the copy alone, not for a run that was put on the stream since."""
    twin, ran = on_gpu(streams[0]).copy(), []
    streams[0].queue.add(lambda: ran.append(True))
    np.testing.assert_array_equal(twin.to_numpy(streams[1]), VALUES)
    assert not ran


def test_freed_memory_stays_until_its_stream_is_done_with_it(streams):
    array = on_gpu(streams[0])
    twin, address = array.copy(), array.ptr
    del array
    np.testing.assert_array_equal(twin.to_numpy(), VALUES)
    assert np.isnan(read_on(streams[0], address)).all()


def test_the_head_keeps_the_memory_and_the_order(streams):
    head = on_gpu(streams[0]).head(1)
    assert head.shape == (1, 3, 4) and head.nbytes == VALUES[:1].nbytes
    np.testing.assert_array_equal(head.to_numpy(streams[1]), VALUES[:1])
    twin = on_gpu(streams[0]).copy()
    assert twin.head(1).ready is twin.ready and twin.head(1, ready=streams[1]).ready is streams[1]


@pytest.mark.parametrize("given", ["theirs", None])
def test_dlpack_orders_the_consumer(streams, given):
    array = on_gpu(streams[0])
    theirs = streams[1] if given else FakeStream(DEFAULT_STREAM)
    exchanged = array.__dlpack__(stream=given and theirs.handle)
    assert exchanged.buffer.owner is array and array.__dlpack_device__() == (2, 0)
    np.testing.assert_array_equal(read_on(theirs, exchanged.buffer.handle), VALUES)


def test_dlpack_without_order_and_what_it_refuses(streams):
    array = on_gpu(streams[0])
    exchanged = array.__dlpack__(stream=-1, dl_device=(2, 0))
    assert np.isnan(read_on(streams[1], exchanged.buffer.handle)).all()
    for asked in ({"copy": True}, {"dl_device": (1, 0)}, {"dl_device": (2, 1)}):
        with pytest.raises(BufferError, match="without a copy"):
            array.__dlpack__(**asked)


@pytest.mark.parametrize("protocol", ["dlpack", "cai"])
def test_arrays_of_others_are_read_after_their_stream(streams, protocol):
    seen = view(OnGPU(VALUES, protocol, stream=streams[0]), streams[1])
    assert seen.stream is streams[1]
    np.testing.assert_array_equal(seen.to_numpy(), VALUES)


def test_an_interface_without_a_stream_is_of_the_default_one(streams):
    foreign = OnGPU(VALUES, "cai", stream=FakeStream(DEFAULT_STREAM))
    foreign.__cuda_array_interface__["stream"] = None
    np.testing.assert_array_equal(view(foreign, streams[1]).to_numpy(), VALUES)


def test_a_view_of_ours_is_the_array_itself_in_order(streams):
    array = on_gpu(streams[0])
    assert view(array, streams[1]) is array
    np.testing.assert_array_equal(read_on(streams[1], array.ptr), VALUES)


@pytest.mark.parametrize("protocol", ["dlpack", "cai"])
@pytest.mark.parametrize(
    ("strides", "contiguous"),
    [((12, 4, 1), True), (None, True), ((12, 4, 2), False), ((4, 8, 1), False), ((1, 4, 1), False)],
)
def test_only_contiguous_arrays_are_seen(streams, protocol, strides, contiguous):
    foreign = OnGPU(VALUES, protocol, strides=strides)
    if contiguous:
        assert view(foreign, streams[0]).ptr == foreign.ptr
    else:
        with pytest.raises(ContractError, match=r"x, of shape .* not C-contiguous"):
            view(foreign, streams[0], "x")


def test_the_stride_of_an_axis_of_length_one_means_nothing(streams):
    assert view(OnGPU(VALUES[:1], "dlpack", strides=(99, 4, 1)), streams[0]).shape == (1, 3, 4)


def test_masked_arrays_are_refused(streams):
    foreign = OnGPU(VALUES, "cai")
    foreign.__cuda_array_interface__["mask"] = foreign
    with pytest.raises(ContractError, match="x is masked"):
        view(foreign, streams[0], "x")


@pytest.mark.parametrize(
    ("protocol", "attribute", "value"),
    [
        ("dlpack", "__dlpack__", lambda stream: (_ for _ in ()).throw(BufferError("it requires grad"))),
        ("dlpack", "__dlpack__", lambda stream: (_ for _ in ()).throw(RuntimeError("it requires grad"))),
        ("dlpack", "__dlpack_device__", lambda: None),
        ("cai", "__cuda_array_interface__", {}),
        ("cai", "__cuda_array_interface__", None),
        ("cai", "__cuda_array_interface__", {"data": (0, False), "shape": (2,), "typestr": "nonsense"}),
    ],
)
def test_arrays_that_their_library_does_not_hand_on(streams, protocol, attribute, value):
    foreign = OnGPU(VALUES, protocol)
    setattr(foreign, attribute, value)
    with pytest.raises(ContractError, match="x, a OnGPU, cannot be read where it lies"):
        view(foreign, streams[0], "x")


@pytest.mark.parametrize(
    "source", [VALUES[:1], VALUES.astype(np.float64), VALUES.transpose(0, 2, 1), VALUES.reshape(2, 4, 3).swapaxes(1, 2)]
)
def test_only_what_fits_is_copied(streams, source):
    array = DeviceArray.empty(SHAPE, np.float32, streams[0])
    with pytest.raises(ContractError, match=r"does not fit|contiguous"):
        array.assign(source)
    assert not streams[0].queue.waiting


class CUDAError(Exception):
    """As cuda-core's: a child of Exception alone."""


def failing(*_, **__):
    raise CUDAError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("owner", "method", "work"),
    [
        (FakeStream, "sync", lambda array, other: array.to_numpy()),
        (FakeStream, "wait", lambda array, other: array.to_numpy(other)),
        (FakeStream, "record", lambda array, other: array.copy()),
        (FakeStream, "from_handle", lambda array, other: array.__dlpack__()),
        (FakeStream, "wait", lambda array, other: view(array, other)),
        (FakeStream, "wait", lambda array, other: view(OnGPU(VALUES, "cai"), other)),
        (FakeView, "from_dlpack", lambda array, other: view(OnGPU(VALUES, "dlpack"), other)),
        (FakeBuffer, "copy_from", lambda array, other: array.assign(VALUES)),
        (FakeBuffer, "from_handle", lambda array, other: array.to_numpy()),
        (FakeDevice, "set_current", lambda array, other: array.assign(VALUES)),
        (FakeDevice, "set_current", lambda array, other: DeviceArray.empty(SHAPE, np.float32, other)),
        (FakeDevice, "allocate", lambda array, other: DeviceArray.empty(SHAPE, np.float32, other)),
    ],
)
def test_what_cuda_raises_leaves_as_ours(streams, monkeypatch, owner, method, work):
    array = on_gpu(streams[0])
    monkeypatch.setattr(owner, method, failing)
    with pytest.raises(EngineError, match=r"illegal memory access.*(start the program anew|smaller batch)") as raised:
        work(array, streams[1])
    assert isinstance(raised.value.__cause__, CUDAError) and "\n" not in str(raised.value)


def test_a_run_that_fails_later_is_told_where_it_is_waited_for(streams):
    array = on_gpu(streams[0])
    streams[0].queue.add(failing)
    with pytest.raises(EngineError, match="the GPU failed finishing its work"):
        array.to_numpy()


def test_our_own_errors_pass():
    with pytest.raises(ContractError, match=r"^ours$"), cuda_errors("copying"):
        raise ContractError("ours")


def test_the_real_cuda_core_has_the_names_used():
    core = pytest.importorskip("cuda.core")
    for fake, real in (
        (FakeStream, core.Stream),
        (FakeEvent, core.Event),
        (FakeBuffer, core.Buffer),
        (FakeView, core.utils.StridedMemoryView),
        (SimpleNamespace(set_current=0, create_stream=0, allocate=0, device_id=0, name=0), core.Device),
    ):
        names = [name for name in vars(fake) if not name.startswith("_") and name not in ("handles",)]
        assert names and all(hasattr(real, name) for name in names), (real, names)
