import signal
import threading

import pytest

from cstm.models.config import CSTMConfig
from cstm.models.contract import contract
from cstm.runtime.backends import openvino
from cstm.runtime.backends.openvino import OpenVINOSession
from cstm.runtime.interrupts import interrupts_held


@pytest.fixture(autouse=True)
def default_handler():
    """Whoever runs the tests may ignore the signal, and processes inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end_of_the_block():
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        signal.raise_signal(signal.SIGINT)
        reached.append("end")
    assert reached == ["end"]


def test_it_goes_before_the_blocks_own_error():
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("a callback was interrupted")


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_are_left_alone():
    found = []

    def work():
        with interrupts_held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_openvino_is_not_interrupted_in_its_callbacks(monkeypatch):
    """It calls our operators' converters while it reads; what they raise comes out as its own error."""

    class Core:
        def read_model(self, path):
            signal.raise_signal(signal.SIGINT)
            return path

        def compile_model(self, *_):
            raise RuntimeError("Check failed: the callback raised")

    monkeypatch.setattr(openvino, "_core", Core)
    with pytest.raises(KeyboardInterrupt):
        OpenVINOSession(contract(CSTMConfig.from_preset("tiny"))["decoder"], "decoder.onnx")
