import pytest

from cstm.errors import CSTMError
from cstm.files import atomic_folder, atomic_path, sha256


def test_a_file_appears_whole_with_the_usual_permissions(tmp_path):
    with atomic_path(tmp_path / "sub" / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "sub/a.txt").exists()
    assert (tmp_path / "sub/a.txt").read_text() == "whole"
    (tmp_path / "plain").touch()
    assert (tmp_path / "sub/a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["a.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CSTMError, match="cannot be written"), atomic_path(tmp_path / "file" / "a.txt"):
        pass


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "set") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with atomic_folder(tmp_path / "set") as folder:
        (folder / "whole").touch()
        assert not (tmp_path / "set").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "whole"]
