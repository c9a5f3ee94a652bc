"""Colours as files name them, read and written."""

from fractions import Fraction

import av
import numpy as np
import pytest

from cstm.errors import VideoError
from cstm.runtime.video import open_video
from cstm.runtime.video_writer import VideoWriter

YUV = (100, 90, 180)
RGB = {5: (181, 70, 21), 1: (191, 78, 18)}  # FFmpeg's numbers of BT.601 and BT.709


@pytest.mark.parametrize("space", [1, 5, 2])
def test_colours_are_read_by_the_standard_that_the_file_names(tmp_path, space):
    path = tmp_path / "colour.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, 1
        planes = np.concatenate([np.full(32 * 32 // share, value) for value, share in zip(YUV, (1, 4, 4), strict=True)])
        picture = av.VideoFrame.from_ndarray(planes.astype(np.uint8).reshape(48, 32), format="yuv420p")
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    with open_video(path) as video:
        found = next(iter(video)).image[16, 16].astype(int)
    assert np.abs(found - RGB.get(space, RGB[5])).max() <= 3, found


def test_colours_are_written_as_bt709(tmp_path):
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    with VideoWriter(tmp_path / "red.mp4", (32, 32), 10, crf=0) as writer:
        writer.write(red)
    with av.open(str(tmp_path / "red.mp4")) as container:
        picture = next(container.decode(video=0))
        planes = [int(np.frombuffer(plane, np.uint8)[0]) for plane in picture.planes]
    assert picture.colorspace == 1
    assert np.abs(np.array(planes) - (63, 102, 240)).max() <= 2, planes


SATURATED = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)], np.uint8)
BARS = SATURATED.repeat(16, 0)[None].repeat(32, 0)  # [32,96,3]
PURE = slice(8, None, 16)  # the middle of each bar, away from shared chroma


def scaled(matrix, pix_fmt):
    """The bars as FFmpeg's own filters write them in YUV."""
    frame, graph = av.VideoFrame.from_ndarray(BARS, format="rgb24"), av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 10))
    scale, form = graph.add("scale", f"out_color_matrix={matrix}:out_range=tv"), graph.add("format", pix_fmt)
    graph.link_nodes(source, scale, form, graph.add("buffersink")).configure()
    graph.push(frame)
    return graph.pull()


@pytest.mark.parametrize(
    ("space", "name"), [(1, "bt709"), (5, "bt601"), (6, "smpte170m"), (7, "smpte240m"), (9, "bt2020"), (10, "bt2020")]
)
def test_saturated_colours_are_read_as_ffmpeg_shows_them(tmp_path, space, name):
    yuv = scaled(name, "yuv444p")
    with av.open(str(tmp_path / "bars.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 32, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, 1
        yuv.pts = 0
        container.mux(stream.encode(yuv))
        container.mux(stream.encode())
    with open_video(tmp_path / "bars.mkv") as video:
        found = next(iter(video)).image
    assert np.abs(found[16, PURE].astype(int) - SATURATED).max() <= 3


@pytest.mark.parametrize("space", [3, 12])
def test_spaces_that_the_scaler_does_not_know_are_read_all_the_same(tmp_path, space):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 32, "yuv420p"
        stream.codec_context.colorspace = space
        container.mux(stream.encode(av.VideoFrame.from_ndarray(BARS, format="rgb24")))
        container.mux(stream.encode())
    with open_video(tmp_path / "a.mkv") as video:
        assert len(list(video)) == 1


def test_colours_that_are_no_yuv_are_refused_in_words(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 32, "yuv444p"
        stream.codec_context.colorspace = 8
        container.mux(stream.encode(av.VideoFrame.from_ndarray(BARS, format="rgb24").reformat(format="yuv444p")))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="its colours are YCgCo"):
        open_video(tmp_path / "a.mkv")


def test_saturated_colours_are_written_as_ffmpeg_writes_them(tmp_path):
    with VideoWriter(tmp_path / "bars.mp4", BARS.shape[:2], 10, crf=0) as writer:
        writer.write(BARS)
    expected = scaled("bt709", "yuv420p")
    with av.open(str(tmp_path / "bars.mp4")) as container:
        picture = next(container.decode(video=0))
    found, wanted = (frame.to_ndarray()[:32, PURE].astype(int) for frame in (picture, expected))
    assert np.abs(found - wanted).max() <= 1
    with open_video(tmp_path / "bars.mp4") as video:
        assert np.abs(next(iter(video)).image[16, PURE].astype(int) - SATURATED).max() <= 4
