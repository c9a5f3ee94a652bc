"""Whatever is opened as a video, and whatever its bytes are, only our errors leave, each of one line."""

import random
from decimal import Decimal
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from PIL import Image

from cstm.errors import CSTMError
from cstm.runtime.video import open_video

from .conftest import write_video

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def try_to_read(source, fps=None):
    try:
        with open_video(source, fps) as video:
            frames = list(islice(video, 50))
    except CSTMError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert all(frame.image.dtype == np.uint8 and frame.image.shape == (*video.size, 3) for frame in frames)
    assert all(later.time > earlier.time for earlier, later in pairwise(frames))


class OddPath:
    def __init__(self, name):
        self.name = name

    def __fspath__(self):
        return self.name


texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))  # a name of two lines is the user's affair
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary() | st.complex_numbers()
images = st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]).map(
    lambda mode: Image.new(mode, (3, 2))
)
pictures = arrays(scalar_dtypes(), array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
frames = arrays(np.uint8, (2, 3, 3))
things = scalars | images | pictures | frames
sources = things | st.lists(things, max_size=3) | st.dictionaries(st.text(), things, max_size=2)


@QUICK
@given(sources)
@example("")
@example("\0")
@example("a" * 5000)
@example("\udcff.mp4")
@example(b"clip.mp4")
@example(OddPath(b"clip.mp4"))
@example(OddPath(5))
@example(np.array(5))
@example(np.zeros((0, 4, 4, 3), np.uint8))
@example(Image.new("RGB", (3, 2)))
@example([object()])
@example(type)
def test_any_source(source):
    try_to_read(source)


@QUICK
@given(scalars | st.decimals() | st.fractions() | scalar_dtypes().map(lambda dtype: np.zeros((), dtype)[()]))
@example(10**400)
@example(5e-324)
@example(Decimal("sNaN"))
@example(Fraction(1, 10**400))
@example(np.float32("nan"))
@example([25])
def test_any_pace(fps):
    try_to_read([np.zeros((2, 3, 3), np.uint8)] * 3, fps)


AVI, MP4, MKV, TS = b"RIFF\0\0\0\0AVI LIST", b"\0\0\0\x18ftypisom", b"\x1aE\xdf\xa3", b"G@\0"
HEADS = [b"", AVI, MP4, MKV, TS, b"GIF89a", b"\x89PNG\r\n\x1a\n"]


@QUICK
@given(st.sampled_from(HEADS), st.binary(max_size=2000), st.sampled_from([".mp4", ".mkv", ".avi", ".ts", ".gif", ""]))
def test_any_bytes(tmp_path, head, body, suffix):
    path = tmp_path / f"any{suffix}"
    path.write_bytes(head + body)
    try_to_read(path)


@QUICK
@given(st.binary(max_size=300), st.sampled_from(["png", "jpeg", "webp", "bmp", "tiff"]), st.floats(0, 1))
def test_any_bytes_of_pictures(tmp_path, body, kind, share):
    path = tmp_path / kind / f"1.{kind}"
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 6)).save(path)
    whole = path.read_bytes()
    keep = int(share * len(whole))
    path.write_bytes(whole[:keep] + body + whole[keep + len(body) :])
    try_to_read(path.parent)


KINDS = {"mp4": "libx264", "mkv": "libx264", "webm": "libvpx", "avi": "mpeg4", "ts": "libx264", "flv": "libx264"}


@pytest.fixture(scope="module", params=KINDS)
def clip(request, tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("clip") / f"a.{request.param}", codec=KINDS[request.param])


@settings(QUICK, max_examples=40)
@given(seed=st.integers(0, 2**32), share=st.floats(0, 1), flips=st.integers(0, 20))
def test_any_damage_to_a_video(tmp_path, clip, seed, share, flips):
    data, chance = bytearray(clip.read_bytes()), random.Random(seed)
    for _ in range(flips):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path = Path(tmp_path / clip.name)
    path.write_bytes(data[: int(share * len(data)) if seed % 2 else None])
    try_to_read(path)
