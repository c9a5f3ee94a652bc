"""Which encoder writes an overlay. No GPU's was run: here they fail to open, as on most servers, or are faked."""

import numpy as np
import pytest

from cstm.errors import MissingDependencyError, RequestError
from cstm.runtime import encoders
from cstm.runtime.encoders import ENCODERS, HARDWARE, X264, choose
from cstm.runtime.video_writer import VideoWriter


def working(monkeypatch, *names):
    codecs = {ENCODERS[name].codec for name in names}
    monkeypatch.setattr(encoders, "_problem", lambda encoder: "" if encoder.codec in codecs else "no device")


def test_x264_always_works():
    assert choose(X264).codec == "libx264"


@pytest.mark.parametrize(("there", "first"), [(["nvenc", "qsv"], "nvenc"), (["amf", "qsv"], "qsv"), (["amf"], "amf")])
def test_the_first_on_a_gpu_that_works(monkeypatch, there, first):
    working(monkeypatch, X264, *there)
    assert choose(HARDWARE) is ENCODERS[first]
    assert choose(there[-1]) is ENCODERS[there[-1]]


def test_without_any_it_says_why_and_takes_no_other(monkeypatch):
    working(monkeypatch, X264)
    with pytest.raises(MissingDependencyError, match=r"nvenc: no device; qsv: no device; amf: no device\); use x264"):
        choose(HARDWARE)
    with pytest.raises(MissingDependencyError, match="nvenc"):
        VideoWriter("out.mp4", (48, 64), 25, encoder="nvenc")


def test_a_name_that_there_is_not():
    with pytest.raises(RequestError, match="no encoder 'h265', choose from x264, nvenc, qsv, amf, hardware"):
        choose("h265")


def test_a_codec_that_this_ffmpeg_lacks_or_cannot_open(monkeypatch):
    assert encoders._problem(encoders.Encoder("h264_nowhere", lambda _: {})) == "this PyAV lacks h264_nowhere"
    assert encoders._problem(encoders.Encoder("libx264", lambda _: {"profile": "none"}))


def test_quality_is_the_encoders_own_option(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    sizes = []
    for crf in (10, 40):
        with VideoWriter(tmp_path / "out.mp4", (96, 128), 25, crf=crf) as writer:
            writer.write(image)
        sizes.append((tmp_path / "out.mp4").stat().st_size)
    assert sizes[0] > 2 * sizes[1]
    for encoder in ENCODERS.values():
        assert any(value == "23" for value in encoder.options(23).values())
