"""Whatever our public calls are given, what leaves them is a CSTMError that says what to give."""

from pathlib import Path

import numpy as np
import pytest

from cstm.errors import CSTMError
from cstm.models.checkpoint import load_checkpoint
from cstm.runtime.bundle import Bundle
from cstm.runtime.segmenter import Segmenter
from cstm.runtime.video import open_video


class Unhelpful:
    """Fails whenever it is looked at."""

    def __fspath__(self):
        raise RuntimeError("no path")

    def __iter__(self):
        raise RuntimeError("no items")

    def __len__(self):
        raise RuntimeError("no length")

    def __eq__(self, other):
        raise RuntimeError("not to be compared")

    def __hash__(self):
        raise RuntimeError("no hash")

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


ODD = [
    None,
    0,
    -1,
    3,
    2.5,
    float("nan"),
    10**400,
    True,
    "",
    " ",
    "\0",
    "no/such/place",
    "/",
    "x" * 5000,
    "f\udce9",
    b"bytes",
    b"\xff",
    Path("no/such/place"),
    [],
    [None],
    [""],
    ["a dog", 3],
    [["a dog"]],
    {},
    {"a": 1},
    (),
    set(),
    object(),
    int,
    len,
    np.zeros(0),
    np.zeros((2, 3)),
    np.array("text"),
    np.datetime64("NaT"),
    range(3),
    iter(()),
    Unhelpful(),
]
FRAMES = [np.zeros((8, 8, 3), np.uint8)]
ids = [str(number) for number in range(len(ODD))]


@pytest.fixture(scope="module")
def segmenter(bundle_path):
    with pytest.warns(UserWarning), Segmenter(bundle_path, "onnxruntime") as segmenter:
        yield segmenter


@pytest.mark.parametrize("odd", ODD, ids=ids)
@pytest.mark.parametrize("call", [Bundle, Segmenter, load_checkpoint, open_video])
def test_places(call, odd):
    with pytest.raises(CSTMError):
        call(odd)


@pytest.mark.parametrize("odd", ODD, ids=ids)
def test_backends_and_precisions(bundle_path, odd):
    with pytest.raises(CSTMError):
        Segmenter(bundle_path, odd)
    if odd is not None:  # the backend's own
        with pytest.raises(CSTMError):
            Segmenter(bundle_path, "onnxruntime", odd)


@pytest.mark.parametrize("odd", ODD, ids=ids)
def test_videos(segmenter, odd):
    with pytest.raises(CSTMError):
        list(segmenter.segment(odd, "a dog"))


@pytest.mark.parametrize("odd", ODD, ids=ids)
def test_sentences(segmenter, odd):
    if isinstance(odd, str) and odd.strip("\0 /"):
        pytest.skip("a sentence, of a kind")
    for ask in (segmenter.queries, lambda sentences: segmenter.segment(FRAMES, sentences)):
        with pytest.raises(CSTMError):
            ask(odd)


@pytest.mark.parametrize("odd", ODD, ids=ids)
def test_steps(segmenter, odd):
    if type(odd) is int and odd > 0:
        assert len(list(segmenter.segment(FRAMES, "a dog", odd))) == 1
    else:
        with pytest.raises(CSTMError):
            segmenter.segment(FRAMES, "a dog", odd)


def test_every_may_be_an_integer_of_eight_bits(segmenter):
    """The number of frame 200 is none."""
    results = segmenter.segment(FRAMES * 210, "a dog", every=np.int8(100))
    assert [result.index for result in results] == [0, 100, 200]
