"""Videos of kinds that went wrong: each is read as FFmpeg shows it, or refused in one line."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from cstm.errors import VideoError
from cstm.runtime.preprocess import resize
from cstm.runtime.video import open_video
from cstm.runtime.video_file import turned

from .conftest import write_video


@pytest.mark.parametrize("name", ["playlist.mp4", "list.txt", "list.ffconcat"])
def test_a_text_that_names_another_file_never_opens_it(tmp_path, video_file, name):
    (tmp_path / name).write_text(f"ffconcat version 1.0\nfile {video_file.name}\n")
    with pytest.raises(VideoError, match="not a video"):
        open_video(tmp_path / name)


@pytest.mark.parametrize("target", ["file:{}", "{}"])
def test_a_playlist_never_opens_its_parts(tmp_path, target):
    part = write_video(tmp_path / "part.ts")
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n{target.format(part)}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(text)
    with pytest.raises(VideoError, match="not a video"):
        open_video(tmp_path / "list.m3u8")


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi", "ts", "mov", "flv"])
def test_real_containers_are_opened(tmp_path, container):
    with open_video(write_video(tmp_path / f"clip.{container}")) as video:
        assert len(list(video)) == 12


MATRICES = {  # (a, b, c, d) of a display matrix: x' = a x + c y, y' = b x + d y
    (1, 0, 0, 1): lambda image: image,
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (-1, 0, 0, -1): lambda image: image[::-1, ::-1],
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: image[::-1, ::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_orientations(matrix):
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    a, b, c, d = (value << 16 for value in matrix)
    side = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32).tobytes()
    shown = turned(image, side)
    np.testing.assert_array_equal(shown, MATRICES[matrix](image))


def test_times_never_go_back(tmp_path):
    path = tmp_path / "odd.mkv"
    stamps = [-200, -160, -120, -120, -40, 0, 40, 20, 120, 160]  # milliseconds; one repeats, one goes back
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuvj420p"
        packets = []
        for i in range(len(stamps)):
            picture = av.VideoFrame.from_ndarray(np.full((24, 32, 3), 20 * i, np.uint8), format="rgb24")
            picture.pts = i
            packets += stream.encode(picture)
        packets += stream.encode()
        container.start_encoding()
        for packet, stamp in zip(packets, sorted(stamps), strict=True):
            packet.pts = packet.dts = stamp
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    with open_video(path) as video:
        times = [frame.time for frame in video]
    assert len(times) == len(stamps) and times[0] == 0
    assert all(later > earlier for earlier, later in pairwise(times))


def test_the_film_is_taken_and_not_the_cover_before_it(tmp_path):
    path = tmp_path / "cover.avi"
    with av.open(str(path), "w") as container:
        cover, film = (container.add_stream("mjpeg", rate=10) for _ in range(2))
        for stream, size in ((cover, 16), (film, 32)):
            stream.width = stream.height = size
            stream.pix_fmt = "yuvj420p"
        for stream, count, size in ((cover, 1, 16), (film, 5, 32)):
            for i in range(count):
                picture = av.VideoFrame.from_ndarray(np.full((size, size, 3), 20 * i, np.uint8), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    with open_video(path) as video:
        assert video.size == (32, 32) and len(list(video)) == 5


def two_films(path, shades, default):
    """Two video streams, each of one shade of grey."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=10) for _ in shades]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for stream, shade in zip(streams, shades, strict=True):
            image = np.full((64, 64, 3), shade, np.uint8)
            for _ in range(5):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("default", [0, 1])
def test_of_two_films_the_default_one_is_taken(tmp_path, default):
    path = two_films(tmp_path / "two.mkv", (40, 200), default=default)
    with open_video(path) as video:
        assert {round(float(frame.image.mean()) / 40) * 40 for frame in video} == {(40, 200)[default]}


def test_the_cover_of_a_sound_file_is_no_film(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound, cover = container.add_stream("aac", rate=8000), container.add_stream("mjpeg", rate=10)
        cover.width = cover.height = 64
        cover.pix_fmt, cover.disposition = "yuvj420p", Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        sound.layout = "mono"
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
        for stream, frame in ((cover, picture), (sound, silence)):
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    with pytest.raises(VideoError, match="no video stream"):
        open_video(path)


@pytest.mark.parametrize("name", ["http:a.mp4", "concat:a.mp4", "subfile,,start,0,end,0,,:a.mp4", "pipe:0.mp4"])
def test_a_name_that_looks_like_an_address_is_a_name(tmp_path, monkeypatch, name):
    write_video(tmp_path / "plain.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_video(name) as video:
        assert len(list(video)) == 12


def joined(path, leap):
    """Six frames, and six more that many seconds later."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 10)
        for number in range(12):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            picture.pts, picture.time_base = number + 10 * leap * (number > 5), Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "last"), [("pause.mkv", 31.1), ("joined.ts", 1.1)])
def test_a_leap_is_a_pause_but_where_recordings_are_joined(tmp_path, name, last):
    with open_video(joined(tmp_path / name, leap=30)) as video:
        assert [frame.time for frame in video][-1] == pytest.approx(last, abs=0.02)


@pytest.mark.parametrize("grey_first", [True, False])
def test_the_film_is_taken_and_not_its_alpha_plane(tmp_path, grey_first):
    path = tmp_path / "alpha.avi"
    formats = ["gray", "yuv420p"] if grey_first else ["yuv420p", "gray"]
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("ffv1", rate=10) for _ in formats]
        for stream, pix_fmt in zip(streams, formats, strict=True):
            stream.width = stream.height = 32
            stream.pix_fmt = pix_fmt
        for stream, pix_fmt in zip(streams, formats, strict=True):
            for _ in range(3):
                picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), (200, 20, 20), np.uint8), format="rgb24")
                container.mux(stream.encode(picture.reformat(format=pix_fmt)))
            container.mux(stream.encode())
    with open_video(path) as video:
        red, green, _ = next(iter(video)).image[16, 16].astype(int)
    assert red - green > 100


@pytest.mark.parametrize("pix_fmt", ["gray16le", "gray10le", "rgb48le", "yuv420p10le", "gbrp16le"])
def test_video_of_more_than_8_bits_is_scaled_and_not_clipped(tmp_path, pix_fmt):
    path = tmp_path / "deep.mkv"
    shades = (0, 128, 255)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = pix_fmt
        for shade in shades:
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), shade, np.uint8), format="rgb24")
            container.mux(stream.encode(picture.reformat(format=pix_fmt)))
        container.mux(stream.encode())
    with open_video(path) as video:
        found = [int(frame.image[16, 16].mean()) for frame in video]
    assert found == pytest.approx(shades, abs=2)


def test_raw_h264_has_the_rate_that_it_says(tmp_path):
    with open_video(write_video(tmp_path / "raw.h264", fps=30)) as video:
        assert video.fps == 30


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
    for number, value in enumerate((0, 0x8000, 0xFFFF)):
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / f"{number}.png")
    with open_video(tmp_path) as video:
        assert [int(frame.image.max()) for frame in video] == [0, 0x80, 0xFF]


def test_names_of_frames_may_hold_any_digit(tmp_path):
    for name in ("a²", "a10", "a9"):
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(tmp_path / f"{name}.png")
    with open_video(tmp_path) as video:
        assert len(list(video)) == 3


def test_frames_that_cannot_be_resized_are_refused_in_words():
    with pytest.raises(VideoError, match="12000x1 cannot be resized"):
        resize(np.zeros((1, 12000, 3), np.uint8), 64)


# RGB of a colour in studio-range YUV, by the two standards' own coefficients.
