"""Work done ahead: the same items, in the same order, with the same end."""

import threading
import time

import pytest

from cstm.runtime.ahead import ahead


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_the_same_items_in_the_same_order(depth):
    assert list(ahead(range(20), depth)) == list(range(20))
    assert list(ahead([], depth)) == []
    assert list(ahead([None, 0, ()], depth)) == [None, 0, ()]


def test_an_error_comes_after_what_was_made_before_it():
    def broken():
        yield 1
        yield 2
        raise ValueError("broken")

    items = ahead(broken(), depth=5)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_no_more_is_made_than_was_allowed():
    made = []
    items = ahead((made.append(n) or n for n in range(100)), depth=3)
    assert next(items) == 0
    time.sleep(0.1)
    assert len(made) <= 4
    items.close()


def test_items_are_made_while_others_are_used():
    started = threading.Event()

    def items():
        yield 0
        started.set()
        yield 1

    for _ in ahead(items()):
        assert started.wait(5), "the next one was not begun while this one was in use"


def test_closing_ends_the_thread_and_closes_the_source():
    closed = []

    def items():
        try:
            while True:
                yield threading.current_thread()
        finally:
            closed.append(threading.current_thread())

    running = ahead(items())
    thread = next(running)
    assert thread is not threading.current_thread()
    running.close()
    assert closed == [thread] and not thread.is_alive()
