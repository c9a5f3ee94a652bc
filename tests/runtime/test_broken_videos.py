"""What each container says of its end, and files that only look like videos or only look broken."""

import struct

import av
import numpy as np
import pytest
from PIL import Image

from cstm.errors import CSTMError, MissingDependencyError, VideoError
from cstm.runtime.video import open_video
from cstm.runtime.video_writer import VideoWriter

from .conftest import write_video

NOISE = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), dtype=np.uint8)


def noisy(path, numbers=range(60), codec="libx264", **container):
    """Ten frames a second; `numbers` are the times at which there is one."""
    with av.open(str(path), "w", options=container) as output:
        stream = output.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = 48, 64, "yuv420p", 10
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(NOISE[number], format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, 1 / stream.average_rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def read(path):
    """The frames and the error that came after them, if any."""
    frames = []
    with open_video(path) as video:
        try:
            frames.extend(video)
        except VideoError as error:
            assert len(str(error).splitlines()) == 1
            return frames, error
    return frames, None


CUT = {
    "a.mkv": ("libx264", {}),
    "a.webm": ("libvpx", {}),
    "a.avi": ("mpeg4", {}),
    "fast.mp4": ("libx264", {"movflags": "faststart"}),
    "fragments.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
}


@pytest.mark.parametrize("name", CUT)
def test_every_container_tells_that_it_was_cut(name, tmp_path):
    codec, container = CUT[name]
    path = noisy(tmp_path / name, codec=codec, **container)
    whole, error = read(path)
    assert len(whole) == 60 and error is None
    frames, error = read(cut(path))
    assert "breaks off after frame" in str(error)
    assert 15 < len(frames) < 40
    for before, after in zip(whole, frames, strict=False):
        assert (before.index, before.time) == (after.index, pytest.approx(after.time))
        np.testing.assert_array_equal(before.image, after.image)


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\x5a"])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_around_a_hole_all_is_right_and_in_it_nothing_is_shown(place, fill, tmp_path):
    path = noisy(tmp_path / "a.mp4")
    whole, _ = read(path)
    right = {round(frame.time, 3): frame.image for frame in whole}
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    data[at : at + 5000] = fill * 5000
    path.write_bytes(data)
    with open_video(path) as video:
        frames = list(video)
    assert 60 - 20 <= len(frames) < 60 and frames[-1].time == whole[-1].time
    assert "damaged picture" in " ".join(video.notes)
    wrong = [frame.time for frame in frames if not np.array_equal(frame.image, right[round(frame.time, 3)])]
    assert len(wrong) <= 5  # the hole's first picture may have been mended


def test_a_cut_within_the_first_frame(tmp_path):
    path = noisy(tmp_path / "a.avi", codec="mpeg4")
    with av.open(str(path)) as container:
        first = next(container.demux(video=0))
        end = first.pos + first.size // 2
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(VideoError, match="holds no frames that can be read"):
        open_video(path)


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path):
    path = noisy(tmp_path / "trimmed.mp4")
    data, hidden = bytearray(path.read_bytes()), 25
    with av.open(str(path)) as container:
        step = int(1 / (10 * container.streams.video[0].time_base))
    at = data.index(b"elst") + 12  # one entry: milliseconds shown, then where in the stream they start
    shown, start = struct.unpack_from(">2I", data, at)
    struct.pack_into(">2I", data, at, shown - 100 * hidden, start + step * hidden)
    path.write_bytes(data)
    with open_video(path) as video:
        assert video.count == 60
        assert len(list(video)) == 60 - hidden


def test_frames_that_a_recorder_dropped_are_not_missed(tmp_path):
    numbers = [n for n in range(60) if not 20 <= n < 30]
    with open_video(noisy(tmp_path / "a.avi", numbers, codec="mpeg4")) as video:
        assert video.count == 60
        assert [round(10 * frame.time) for frame in video] == numbers


def test_a_transport_stream_that_was_cut_open(tmp_path):
    path = noisy(tmp_path / "a.ts")
    packets = path.read_bytes()
    path.write_bytes(packets[len(packets) // 188 // 3 * 188 :])
    frames, error = read(path)
    assert 20 < len(frames) <= 40 and error is None
    assert (frames[0].index, frames[0].time) == (0, 0)


def test_text_is_no_video(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("FFmpeg would draw this\n" * 100)
    with pytest.raises(VideoError, match="not a video but text"):
        open_video(path)


def test_a_colon_in_the_name(tmp_path):
    assert len(read(write_video(tmp_path / "12:30.mp4"))[0]) == 12


@pytest.mark.parametrize(("source", "fps", "said"), [(5, None, "a int is no video"), ([], 0, "fps=0")])
def test_what_cannot_be_opened(source, fps, said):
    with pytest.raises(VideoError, match=said):
        open_video(source, fps)


def test_a_closed_video_says_so(video_file):
    with open_video(video_file) as video:
        frames = iter(video)
        next(frames)
    with pytest.raises(VideoError, match="was closed"):
        list(video)
    with pytest.raises(VideoError, match="was closed"):
        next(frames)


def test_a_folder_with_hidden_turned_and_broken_images(tmp_path):
    (tmp_path / "._0.jpg").write_text("a Mac's note")
    turned = Image.Exif()
    turned[0x112] = 6
    for name in ("0.jpg", "1.jpg"):
        Image.new("RGB", (8, 6)).save(tmp_path / name, exif=turned)
    (tmp_path / "2.jpg").write_text("no image")
    video = open_video(tmp_path)
    assert (video.size, video.count) == ((8, 6), 3)
    seen = []
    with pytest.raises(VideoError, match=r"2\.jpg: not an image"):
        seen.extend(video)


@pytest.mark.parametrize("colour", [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128)])
def test_colours_survive_writing_and_reading(colour, tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, (48, 64), 10) as writer:
        writer.write(np.full((48, 64, 3), colour, np.uint8))
    assert np.abs(read(path)[0][0].image.astype(int) - colour).max() <= 4


def test_a_writer_without_its_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(MissingDependencyError, match="libx264"):
        VideoWriter(tmp_path / "out.mp4", (48, 64), 10)


@pytest.mark.parametrize(
    "image", [np.zeros((24, 64, 3), np.uint8), np.zeros((48, 64, 3)), np.zeros((48, 64), np.uint8)]
)
def test_frames_that_cannot_be_written(image, tmp_path):
    with pytest.raises(VideoError, match="frame 0 is"), VideoWriter(tmp_path / "out.mp4", (48, 64), 10) as writer:
        writer.write(image)
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_is_not_written(tmp_path):
    with pytest.raises(VideoError, match="no frame was written"), VideoWriter(tmp_path / "out.mp4", (48, 64), 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_last_moment_leaves_no_half_file(tmp_path):
    class FullDisk:
        def encode(self, *_):
            raise av.error.OSError(28, "No space left on device")

    (tmp_path / "out.mp4").write_text("the earlier result")
    with (
        pytest.raises(CSTMError, match=r"out\.mp4: the disk is full"),
        VideoWriter(tmp_path / "out.mp4", (48, 64), 10) as writer,
    ):
        writer.write(np.zeros((48, 64, 3), np.uint8))
        writer._stream = FullDisk()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "the earlier result"
