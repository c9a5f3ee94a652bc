"""Actors out of made-up videos: they stay where they are in their square, and what is cut off is left out."""

import cv2
import numpy as np
import pytest

from cstm.data.sprites.cutouts import SIDE, Cutouts, textures
from cstm.data.sprites.moving import write_moving
from cstm.errors import DatasetError

FRAMES = 20


@pytest.fixture
def root(tmp_path):
    """A square crosses the picture: until frame 2, and from 18 on, a part of it is outside."""
    for number in range(FRAMES):
        image, mask = np.full((60, 200, 3), 60, np.uint8), np.zeros((60, 200), np.uint8)
        left = 12 * number - 30
        mask[20:44, max(left, 0) : left + 24] = 255
        image[mask > 0] = (30, 20, 210)
        for kind, suffix, picture in (("frames", "png", image), ("masks", "png", mask)):
            (tmp_path / "real" / "rex" / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "real" / "rex" / kind / f"{number:05d}.{suffix}"), picture)
    (tmp_path / "real" / "actors.csv").write_text("sequence,actor\nrex,dog-running\n")
    return tmp_path / "real"


def test_the_whole_actor_is_cut_out_and_keeps_its_place(root, tmp_path):
    (folder,) = write_moving(root, tmp_path)
    assert folder.name == "dog-running_rex" and len(list(folder.iterdir())) == 15  # frames 3 to 17
    (rex,) = Cutouts(tmp_path, "train").sprites["dog"]
    assert (rex.action, rex.moving, rex.own_colour) == ("running", True, "red")
    for picture in textures(rex, SIDE):
        rows, columns = np.nonzero(picture[..., 3] > 127)
        assert abs(rows.mean() - SIDE / 2) < 4 and abs(columns.mean() - SIDE / 2) < 4
        assert abs(len(rows) ** 0.5 - SIDE / 1.12) < 8


def test_a_missing_frame_is_named(root, tmp_path):
    (root / "rex" / "frames" / "00008.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"00008\.png"):
        write_moving(root, tmp_path)
    assert not (tmp_path / "dog-running_rex").exists()
