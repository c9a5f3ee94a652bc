"""Folders of pictures: all of them are frames, or it is said why not."""

import numpy as np
import pytest
from PIL import Image

from cstm.errors import VideoError
from cstm.runtime.video import open_video


def fill(folder, *names):
    for shade, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6), (shade, shade, shade)).save(folder / name)
    return folder


def shades(folder):
    with open_video(folder) as video:
        return [int(frame.image[0, 0, 0]) for frame in video], video.notes


def test_frames_of_several_formats_are_all_read_and_it_is_said(tmp_path):
    found, (note,) = shades(fill(tmp_path, "1.png", "2.tif", "3.png", "4.tiff"))
    assert found == [0, 1, 2, 3]
    assert "3 kinds of names (1.png, 2.tif, 4.tiff)" in note


@pytest.mark.parametrize(
    "names",
    [
        ("00001.jpg", "00001.png", "00002.jpg", "00002.png"),
        ("one.jpg", "one.png"),
        ("frame1.png", "frame2.png", "mask1.png", "mask2.png"),
        ("1.jpg", "1_mask.png", "2.jpg", "2_mask.png"),
        ("1.png", "2.png", "3.png", "mask1.png", "mask3.png"),  # a mask for some of them
        ("f01.png", "f02.png", "m1.png", "m2.png"),
    ],
)
def test_a_mask_beside_each_picture_is_not_taken_for_a_frame(tmp_path, names):
    with pytest.raises(VideoError, match="two pictures for one frame") as raised:
        open_video(fill(tmp_path, *names))
    assert len(str(raised.value).splitlines()) == 1


def test_a_picture_of_a_kind_that_is_not_read_is_refused(tmp_path):
    with pytest.raises(VideoError, match=r"2\.gif is of a kind that is not read"):
        open_video(fill(tmp_path, "1.png", "2.gif"))


def test_two_pictures_of_two_names_are_two_frames(tmp_path):
    fill(tmp_path, "left1.png", "right1.png")
    assert len(shades(tmp_path)) == 2


def test_names_of_one_kind_or_without_numbers_are_nothing_to_speak_of(tmp_path):
    assert shades(fill(tmp_path / "a", "f1.png", "f10.png", "f2.png")) == ([0, 2, 1], [])
    assert shades(fill(tmp_path / "b", "first.png", "second.png")) == ([0, 1], [])
    assert shades(fill(tmp_path / "c", "cam1_1.png", "cam1_2.png", "cam2_1.png", "cam2_2.png")) == ([0, 1, 2, 3], [])


def test_only_decimals_are_numbers(tmp_path):
    found, (note,) = shades(fill(tmp_path, "2.png", "x1²3.png", "x1²10.png"))
    assert found == [0, 1, 2] and "2 kinds of names" in note


@pytest.mark.parametrize("value", [0, 300, 0x8000, 0xFFFF])
def test_16_bits_are_scaled_in_every_format(tmp_path, value):
    for name in ("1.png", "2.tif"):
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / name)
    assert shades(tmp_path)[0] == [value >> 8] * 2


@pytest.mark.parametrize(("dtype", "value"), [(np.float32, 0.5), (np.int32, 70_000), (np.int32, -1)])
def test_pixels_whose_white_nothing_tells_are_refused(tmp_path, dtype, value):
    Image.fromarray(np.full((8, 8), value, dtype)).save(tmp_path / "1.tif")
    with pytest.raises(VideoError, match=r"1\.tif: not an image that can be read \(its pixels"):
        open_video(tmp_path)
