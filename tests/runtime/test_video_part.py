"""Any part of a video is what reading the whole gives there: numbers, times and pixels."""

import logging
import re

import av
import numpy as np
import pytest
from PIL import Image

from cstm.errors import VideoError
from cstm.runtime.video import open_video
from cstm.runtime.video_file import CLOSED
from cstm.runtime.video_index import index_video
from cstm.runtime.video_part import open_part

from .films import COUNT, OPEN, REFRESH, UNEVEN, pictures, shift, spoil, write_film

SEEKABLE = {
    "uneven.mp4": {"stamps": UNEVEN, "bf": "3"},
    "uneven.mkv": {"stamps": UNEVEN, "bf": "3"},
    "late.mkv": {"stamps": [5000 + stamp for stamp in UNEVEN], "bf": "3"},
    "fragments.mp4": {"bf": "3", "container": {"movflags": "frag_keyframe+empty_moov"}},
    "open.mp4": OPEN,
    "open.mkv": OPEN,
    "open.ts": OPEN,
    "uneven.ts": {"stamps": UNEVEN, "bf": "3"},
    "mpeg2.ts": {"codec": "mpeg2video", "bf": "2"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4.mp4": {"codec": "mpeg4", "bf": "2"},
    "vp8.webm": {"codec": "libvpx", "auto-alt-ref": "1", "lag-in-frames": "16"},
    "vp9.webm": {"codec": "libvpx-vp9", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"},
    "h265.mp4": {"codec": "libx265", "x265-params": "log-level=none:keyint=16:open-gop=1:bframes=3", "preset": "fast"},
    "every.avi": {"codec": "ffv1", "g": "1"},
}


def read(path):
    with open_video(path) as video:
        return list(video)


def check_parts(index, whole):
    assert len(index) == len(whole) and index.times.tolist() == [frame.time for frame in whole]
    for first in range(0, len(whole), 11):
        for last in {min(first + length, len(whole)) for length in (1, 9, 40)}:
            with open_part(index, range(first, last)) as part:
                frames = list(part)
            expected = whole[first:last]
            assert [(f.index, f.time) for f in frames] == [(f.index, f.time) for f in expected]
            for frame, other in zip(frames, expected, strict=True):
                np.testing.assert_array_equal(frame.image, other.image)


@pytest.mark.parametrize("name", SEEKABLE)
def test_parts_are_read_from_the_key_picture_before_them(name, tmp_path):
    path = write_film(tmp_path / name, **SEEKABLE[name])
    index = index_video(path)
    assert index.stamps is not None and len(index.stamps.keys) > 2
    check_parts(index, read(path))


@pytest.mark.parametrize("seconds", [0.3, 1.1])
def test_pictures_that_an_edit_list_hides_are_no_frames(seconds, tmp_path):
    path = shift(write_film(tmp_path / "a.mp4", bf="3"), tmp_path / "edited.mp4", seconds)
    index = index_video(path)
    assert len(index) < COUNT and index.stamps is not None
    check_parts(index, read(path))


def joined(folder):
    path = write_film(folder / "a.ts", stamps=UNEVEN, bf="3")
    path.write_bytes(path.read_bytes() * 2)
    return path


def cut(folder):
    path = write_film(folder / "a.mp4", container={"movflags": "faststart"})
    with av.open(str(path)) as film:
        places = [packet.pos for packet in film.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[40]])  # between two packets, each of which is whole
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (joined, "damaged|clock"),
        (lambda folder: write_film(folder / "raw.h264"), "when it is shown"),
        (cut, "it should last"),
    ],
)
def test_where_packets_leave_doubt_frames_are_counted(make, why, tmp_path, caplog):
    path = make(tmp_path)
    with caplog.at_level(logging.INFO, "cstm.runtime.video_index"):
        index = index_video(path)
    assert index.counted and index.stamps is None and index.reads_from_start
    (told,) = caplog.records
    assert told.levelno == logging.INFO and "its frames are counted" in told.message
    assert re.search(why, told.message)
    whole = []
    with open_video(path) as video:
        try:
            whole.extend(video)
        except VideoError as error:
            assert str(error) == str(index.broken)
        else:
            assert index.broken is None
    check_parts(index, whole)


UNLIKE = {  # key pictures that are none; damage that no packet tells
    "refresh": lambda folder: write_film(folder / "a.mp4", **REFRESH),
    "all keys": lambda folder: spoil(write_film(folder / "a.mp4", "mpeg4"), folder / "b.mp4", all_keys=True),
    "spoilt": lambda folder: spoil(write_film(folder / "a.mkv", bf="3"), folder / "b.mkv", 40),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_a_part_that_is_not_as_its_index_says_is_never_given(name, tmp_path):
    path = UNLIKE[name](tmp_path)
    index, whole, failed = index_video(path), read(path), 0
    assert index.stamps is not None
    for first in range(0, COUNT - 5, 5):
        frames = []
        try:
            with open_part(index, range(first, first + 5)) as part:
                frames.extend(part)
        except VideoError as error:
            assert "is not as its index says" in str(error)
            failed += 1
        if first < 35 or name != "spoilt":  # then, that frames were lost shows only to who knows of the parts before
            for frame in frames:
                np.testing.assert_array_equal(frame.image, whole[frame.index].image)
    assert failed
    check_parts(index_video(path, counted=True), whole)


@pytest.mark.parametrize("way", ["refused", "too far"])
def test_where_a_file_cannot_be_sought_in_packets_are_passed_over(way, tmp_path, monkeypatch):
    path = write_film(tmp_path / "a.mkv", bf="3")
    index, whole = index_video(path), read(path)

    class Container:
        """One that cannot seek."""

        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def seek(self, stamp, **how):
            if way == "refused":
                raise av.error.PermissionError(1, "Operation not permitted")
            self._container.seek(int(index.stamps.keys[-1][2]), **how)

    monkeypatch.setattr("cstm.runtime.video_part.open_film", lambda path: _with(Container, path))
    check_parts(index, whole)


def _with(container, path):
    opened = av.open(str(path), container_options=CLOSED)
    return container(opened), opened.streams.video[0]


def test_parts_of_a_folder(tmp_path):
    for number, picture in zip(range(20), pictures(), strict=False):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    index = index_video(tmp_path, fps=10)
    assert (index.fps, len(index), index.reads_from_start) == (10, 20, False)
    with open_video(tmp_path, fps=10) as video:
        check_parts(index, list(video))


def test_a_picture_of_another_size_is_not_as_the_index_says(tmp_path):
    for number in range(4):
        Image.new("RGB", (8, 8 + number // 3)).save(tmp_path / f"{number}.png")
    index = index_video(tmp_path)
    with pytest.raises(VideoError, match="frame 3 is of another size"):
        open_part(index, range(3, 4))
    counted = index_video(tmp_path, counted=True)
    assert len(counted) == 3 and "frame 3 is 8x9" in str(counted.broken)


@pytest.mark.parametrize("numbers", [range(-1, 3), range(3, 3), range(50, 61)])
def test_frames_that_there_are_not(numbers, tmp_path):
    index = index_video(write_film(tmp_path / "a.mp4"))
    with pytest.raises(VideoError, match="has no frames"):
        open_part(index, numbers)
