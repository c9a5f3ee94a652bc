"""Videos as users have them: whole, cut, turned, or no videos at all."""

import gc
import struct
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from cstm.errors import VideoError
from cstm.runtime.video import open_video
from cstm.runtime.video_writer import VideoWriter

from .conftest import write_video


def test_a_file(video_file):
    with open_video(video_file) as video:
        assert (video.size, video.fps, video.count) == ((48, 64), 10.0, 12)
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(12)])
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert abs(float(frame.image.mean()) - 20 * frame.index) < 4


def test_a_folder_in_natural_order(tmp_path):
    for i in range(11):
        Image.new("RGB", (8, 6), (i, i, i)).save(tmp_path / f"frame{i}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    with open_video(tmp_path, fps=5) as video:
        assert (video.size, video.fps, video.count) == ((6, 8), 5, 11)
        assert [(f.image[0, 0, 0], f.time) for f in video] == [(i, i / 5) for i in range(11)]


def test_arrays():
    arrays = [np.full((4, 6, 3), i, np.uint8) for i in range(3)]
    with open_video(iter(arrays)) as video:
        assert (video.size, video.fps, video.count) == ((4, 6), 25.0, None)
        assert [f.image[0, 0, 0] for f in video] == [0, 1, 2]


def turned(path):
    """Set the display matrix of an mp4 to a quarter turn clockwise, as phones write it."""
    data = bytearray(path.read_bytes())
    matrix = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    quarter = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    at = data.index(matrix, data.index(b"tkhd"))
    data[at : at + 36] = quarter
    path.write_bytes(data)


@pytest.mark.skipif(not hasattr(av.VideoFrame, "rotation"), reason="this PyAV does not tell the rotation")
def test_phone_videos_stand_upright(tmp_path):
    path = tmp_path / "phone.mp4"
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = 255  # bright on the left as stored
    with VideoWriter(path, (48, 64), 10) as writer:
        writer.write(image)
    turned(path)
    with open_video(path) as video:
        shown = next(iter(video)).image
    assert shown.shape == (64, 48, 3)
    assert shown[:28].mean() > 200 and shown[36:].mean() < 50  # bright at the top when turned clockwise


BAD = {
    "no such file": (lambda p: p / "absent.mp4", "no such file"),
    "a text file": (lambda p: text(p / "notes.txt", b"no video at all\n" * 50), "not a video"),
    "an empty file": (lambda p: text(p / "empty.mp4", b""), "not a video"),
    "an empty folder": (lambda p: p, "holds no images"),
    "a cut header": (lambda p: cut(write_video(p / "c.mp4", 60), 0.5), "not a video"),
}


def text(path, content):
    path.write_bytes(content)
    return path


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video(name, tmp_path):
    make, said = BAD[name]
    with pytest.raises(VideoError, match=said) as raised:
        open_video(make(tmp_path))
    assert len(str(raised.value).splitlines()) == 1


def test_sound_alone(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(VideoError, match="no video stream"):
        open_video(path)


def test_a_camera_may_reuse_its_buffer():
    buffer = np.zeros((4, 6, 3), np.uint8)

    def camera():
        for i in range(3):
            buffer[:] = i
            yield buffer

    assert [frame.image.max() for frame in list(open_video(camera()))] == [0, 1, 2]


def test_no_frames():
    with pytest.raises(VideoError, match="no frames"):
        open_video([])


@pytest.mark.parametrize(
    "arrays",
    [[np.zeros((4, 4), np.uint8)], [np.zeros((4, 4, 3), np.float32)], [[1, 2]], [np.zeros((0, 4, 3), np.uint8)]],
)
def test_arrays_that_are_no_frames(arrays):
    with pytest.raises(VideoError, match="frame 0 is"):
        open_video(arrays)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32 \(4, 4, 3\)"),
        ([1, 2], "a list"),
        ("frame.png", "a str"),
        (None, "a NoneType"),
        (SimpleNamespace(dtype=np.uint8, shape=None), "a SimpleNamespace"),
    ],
)
def test_what_was_given_for_a_frame_is_named(frame, said):
    with pytest.raises(VideoError, match=f"frame 0 is {said}; give RGB uint8 arrays"):
        open_video([frame])


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "1"])
def test_pillow_images_are_frames(mode):
    shades = [(250, 20, 30), (10, 20, 240)]
    given = [Image.new("RGB", (6, 4), shade).convert(mode) for shade in shades]
    with open_video(given, fps=5) as video:
        frames = list(video)
    assert (video.size, [frame.time for frame in frames]) == ((4, 6), [0, 0.2])
    for frame, image in zip(frames, given, strict=True):
        np.testing.assert_array_equal(frame.image, np.array(image.convert("RGB")))


def test_pillow_images_are_turned_and_scaled_as_those_of_a_folder():
    grey = Image.fromarray(np.full((4, 6), 0x8000, np.uint16))
    assert open_video([grey]).__iter__().__next__().image[0, 0].tolist() == [0x80] * 3
    turned = Image.new("RGB", (6, 4))
    turned.getexif()[0x112] = 6
    assert open_video([turned]).size == (6, 4)


def test_a_single_image_or_name_in_bytes_is_no_video():
    for source, kind in ((Image.new("RGB", (6, 4)), "Image"), (b"clip.mp4", "bytes"), (np.array(5), "ndarray")):
        with pytest.raises(VideoError, match=f"a {kind} is no video; give a path"):
            open_video(source)


def test_a_video_tells_until_when_its_last_frame_is_shown():
    video = open_video([np.zeros((4, 6, 3), np.uint8)] * 5, fps=10)
    next(iter(video))
    assert video.end == pytest.approx(0.1)
    assert len(list(video)) == 4 and video.end == pytest.approx(0.5)


def test_frames_of_two_sizes():
    video = open_video([np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)])
    with pytest.raises(VideoError, match="frame 1 is 4x6, the first 6x4"):
        list(video)


def read_until_it_breaks(path):
    frames = []
    with open_video(path) as video, pytest.raises(VideoError, match="breaks off after frame") as raised:
        for frame in video:
            frames.append(frame)
    assert len(str(raised.value).splitlines()) == 1
    return frames


def test_cut_files_give_what_they_hold_and_say_so(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    path = tmp_path / "long.mp4"
    with VideoWriter(path, (48, 64), 10) as writer:  # its index comes first, so half a file still opens
        for image in noise:
            writer.write(image)
    frames = read_until_it_breaks(cut(path, 0.5))
    assert 5 < len(frames) < 35


def test_a_file_with_a_hole_is_not_silently_wrong(tmp_path):
    path = tmp_path / "hole.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"sc_threshold": "0"})  # one key picture, the first
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = b"\xff" * 20_000
    path.write_bytes(data)
    assert 5 < len(read_until_it_breaks(path)) < 38


def test_a_real_cut_avi(tmp_path, shared):
    path = tmp_path / "half.avi"
    data = (shared / "videos/vtest.avi").read_bytes()
    path.write_bytes(data[: len(data) // 8])
    assert 50 < len(read_until_it_breaks(path)) < 795 // 4


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (1, 1)])
def test_written_videos_can_be_read(tmp_path, size):
    path = tmp_path / "sub" / "out.mp4"
    with VideoWriter(path, size, 12.5) as writer:
        for i in range(5):
            writer.write(np.full((*size, 3), 50 * i, np.uint8) if min(size) > 1 else np.zeros((2, 2, 3), np.uint8))
    with open_video(path) as video:
        assert video.fps == 12.5
        assert video.size == tuple(max(2, side - side % 2) for side in size)
        assert len(list(video)) == 5
    assert [p.name for p in path.parent.iterdir()] == ["out.mp4"]


def test_nothing_is_left_of_a_video_that_failed(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "out.mp4", (48, 64), 10) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_pictures_do_not_wait_for_the_garbage_collector(tmp_path):
    """Those in a circle would: a gigabyte of them within a few hundred frames of 1080p."""
    path = write_video(tmp_path / "long.mp4", count=60)
    gc.collect()
    gc.disable()
    try:
        with open_video(path) as video:
            for _ in video:
                pass
        left = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
    assert left < 5
