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
from cstm.runtime.video_writer import VideoWriter

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


def two_films(path, shades, codecs=("mpeg4", "mpeg4"), counts=(5, 5), default=None, attached=None):
    """Two video streams, each of one shade of grey."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=10) for codec in codecs]
        for number, (stream, codec) in enumerate(zip(streams, codecs, strict=True)):
            stream.width = stream.height = 64
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if default is not None:
                stream.disposition = Disposition.default if number == default else Disposition(0)
            if number == attached:
                stream.disposition = Disposition.attached_pic
        for stream, shade, count in zip(streams, shades, counts, strict=True):
            image = np.full((64, 64, 3), shade, np.uint8)
            for _ in range(count):
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
