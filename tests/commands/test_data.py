"""`cstm data`."""

import numpy as np
import pytest
from PIL import Image

from cstm.commands.main import main
from cstm.data.a2d import A2DSentences

pytest.importorskip("h5py")
pytest.importorskip("cv2")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_sprites_are_written_where_the_command_line_says(tmp_path, capsys):
    out = tmp_path / "set"
    assert main(["data", "sprites", str(out), "--clips", "2", "--size", "64", "--split", "train", "--seed", "3"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    references = A2DSentences(out, "train", 64).references
    assert {reference.video for reference in references} == {"train00000", "train00001"}


def test_an_existing_folder_is_one_line(tmp_path, capsys):
    assert main(["data", "sprites", str(tmp_path), "--clips", "2"]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} exists; name a new folder\n"


@pytest.mark.parametrize("wrong", [["--clips", "0"], ["--size", "63"]])
def test_impossible_numbers_are_one_line(tmp_path, capsys, wrong):
    assert main(["data", "sprites", str(tmp_path / "set"), *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "set").exists()


@pytest.mark.parametrize("clips", [1, 2, 3])
def test_a_sheet_shows_clips_in_two_columns(tmp_path, capsys, clips):
    out = tmp_path / "new" / "sheet.png"
    assert main(["data", "sheet", str(out), "--clips", str(clips), "--kind", "action"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    picture = np.asarray(Image.open(out))
    assert picture.shape[1] > 1600 and picture.shape[0] == (clips + 1) // 2 * (picture.shape[0] // ((clips + 1) // 2))
    assert [path.name for path in out.parent.iterdir()] == ["sheet.png"]


def test_another_kind_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["data", "sheet", str(tmp_path / "sheet.png"), "--kind", "sound"])
    assert "invalid choice" in capsys.readouterr().err
