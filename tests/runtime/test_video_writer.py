"""How long each frame of a written video is shown."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from cstm.errors import VideoError
from cstm.runtime.segment_video import segment_to_files
from cstm.runtime.video import open_video
from cstm.runtime.video_writer import VideoWriter

from .fake_segmenter import Nothing


def image(shade):
    return np.full((48, 64, 3), shade, np.uint8)


def declared(path):
    """The lengths in seconds that the file's headers tell, of the whole and of its track."""
    data = path.read_bytes()
    (scale,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    for name, offset in ((b"mvhd", 20), (b"tkhd", 24)):
        yield struct.unpack_from(">I", data, data.index(name) + offset)[0] / scale


def shown(path):
    """(time, shade) of each frame, and the length in seconds."""
    with open_video(path) as video:
        frames = [(round(frame.time, 6), round(float(frame.image.mean()))) for frame in video]
    with av.open(str(path)) as container:
        return frames, container.duration / av.time_base


@pytest.mark.parametrize("fps", [10, 12.5, 30_000 / 1001])
def test_frames_follow_each_other(tmp_path, fps):
    with VideoWriter(tmp_path / "out.mp4", (48, 64), fps) as writer:
        for shade in range(0, 240, 20):
            writer.write(image(shade))
    frames, length = shown(tmp_path / "out.mp4")
    assert [time for time, _ in frames] == pytest.approx([i / fps for i in range(12)], abs=1e-3)
    assert length == pytest.approx(12 / fps, abs=2e-3)


@pytest.mark.parametrize(("count", "every"), [(20, 1), (20, 3), (21, 5), (50, 30), (40, 1000), (200, 7)])
def test_each_is_shown_until_the_next_and_the_last_until_the_end(tmp_path, count, every):
    numbers = range(0, count, every)
    with VideoWriter(tmp_path / "out.mp4", (48, 64), 10 / every) as writer:
        for number in numbers:
            writer.write(image(number), number / 10)
        writer.end(count / 10)
    frames, length = shown(tmp_path / "out.mp4")
    assert [time for time, _ in frames] == pytest.approx([number / 10 for number in numbers])
    assert [shade for _, shade in frames] == pytest.approx(list(numbers), abs=4)
    assert [length, *declared(tmp_path / "out.mp4")] == pytest.approx([count / 10] * 3)


def test_frames_are_shown_when_they_are_said_to_be(tmp_path):
    times = [0, 0.04, 0.5, 0.51, 2, 2.003, 7]
    with VideoWriter(tmp_path / "out.mp4", (48, 64), 25) as writer:
        for number, time in enumerate(times):
            writer.write(image(20 * number), time)
        writer.end(9.5)
    frames, length = shown(tmp_path / "out.mp4")
    assert [time for time, _ in frames] == pytest.approx(times, abs=1e-4)
    assert [shade for _, shade in frames] == pytest.approx(list(range(0, 140, 20)), abs=4)
    assert [length, *declared(tmp_path / "out.mp4")] == pytest.approx([9.5] * 3, abs=2e-3)


def test_times_that_repeat_or_go_back_lose_no_frame(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", (48, 64), 10) as writer:
        for number, time in enumerate([0, 0.5, 0.5, 0.2, 1]):
            writer.write(image(40 * number), time)
    frames, _ = shown(tmp_path / "out.mp4")
    assert [shade for _, shade in frames] == pytest.approx([0, 40, 80, 120, 160], abs=4)


def test_a_pause_that_an_mp4_cannot_tell_is_cut(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", (48, 64), 10) as writer:
        for number, time in enumerate([0, 1e6]):
            writer.write(image(40 * number), time)
    frames, _ = shown(tmp_path / "out.mp4")
    assert frames[1][0] == pytest.approx(2**30 / 90_000, abs=1)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_pace_that_is_none_is_refused(tmp_path, fps):
    with pytest.raises(VideoError, match="fps="):
        VideoWriter(tmp_path / "out.mp4", (48, 64), fps)


@pytest.mark.parametrize("every", [1, 2, 7, 19, 20, 1_000_000])
def test_the_overlay_lasts_as_long_as_the_video(tmp_path, every):
    video = open_video([image(10 * i) for i in range(20)], fps=10)
    written = segment_to_files(Nothing(), video, ["a dog"], every, overlay=tmp_path / "out.mp4")
    frames, length = shown(tmp_path / "out.mp4")
    assert length == pytest.approx(2)
    assert [time for time, _ in frames] == [i / 10 for i in range(0, 20, every)]
    assert written.frames == len(frames)


@pytest.mark.parametrize("every", [1, 2])
def test_the_overlay_of_uneven_frames_is_as_uneven(tmp_path, every):
    """Of screen recordings, phones and GIFs."""
    stamps = [0, 40, 80, 400, 440, 1000, 1040, 3000]  # milliseconds
    with av.open(str(tmp_path / "uneven.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp in stamps:
            picture = av.VideoFrame.from_ndarray(image(stamp // 20), format="rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    video = open_video(tmp_path / "uneven.mkv")
    segment_to_files(Nothing(), video, ["a dog"], every, overlay=tmp_path / "out.mp4")
    frames, length = shown(tmp_path / "out.mp4")
    assert [time for time, _ in frames] == pytest.approx([stamp / 1000 for stamp in stamps[::every]], abs=2e-3)
    assert length == pytest.approx(3 + 1 / video.fps, abs=2e-3)


@pytest.mark.parametrize(("turn", "expected"), [(0, Fraction(16, 11)), (90, Fraction(11, 16))])
def test_pixels_that_are_not_square_are_shown_as_they_were(tmp_path, turn, expected):
    """Of films made for television; a turned picture's pixels are turned too."""
    with av.open(str(tmp_path / "wide.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for number in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image(40 * number), format="rgb24")))
        container.mux(stream.encode())
    data = bytearray((tmp_path / "wide.mp4").read_bytes())
    if turn:
        place = data.index(b"tkhd") + 44
        data[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    (tmp_path / "wide.mp4").write_bytes(data)
    video = open_video(tmp_path / "wide.mp4")
    assert video.size == ((64, 48) if turn else (48, 64)) and video.pixel_aspect == expected
    with VideoWriter(tmp_path / "out.mp4", video.size, 10, pixel_aspect=video.pixel_aspect) as writer:
        for frame in video:
            writer.write(frame.image)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == expected
