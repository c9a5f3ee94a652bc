"""Files that are whole or absent."""

import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from cstm.errors import CSTMError
from cstm.files import atomic_folder, atomic_path, sha256, write_json


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


def test_a_link_stays_and_its_target_is_written(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    write_json(link, {"new": 1})
    assert link.is_symlink() and json.loads(target.read_text()) == {"new": 1}
    assert sorted(tmp_path.iterdir()) == [link, target]


def test_a_fifo_is_written_through(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    write_json(fifo, [1])
    reader.join(10)
    assert json.loads(read[0]) == [1] and stat.S_ISFIFO(fifo.stat().st_mode)
    assert list(tmp_path.iterdir()) == [fifo]


def test_a_device_stays_one():
    write_json("/dev/null", [1])
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_folder_is_no_place_for_a_file(tmp_path):
    with pytest.raises(CSTMError, match="is a folder; name a file"), atomic_path(tmp_path):
        pytest.fail("begun")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(CSTMError, match=r"masks\.json: the disk is full"), atomic_path(tmp_path / "masks.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
