"""Fingerprints of code: of all that is asked for, where the code lies in a checkout and where it is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cstm import fingerprint
from cstm.fingerprint import code_fingerprint

SHOW = "from cstm.fingerprint import code_fingerprint as c; print(c('graph'), c('runtime.preprocess'))"


@pytest.fixture
def installed(tmp_path):
    """A package laid out as an installation is: folders inside `cstm`. Gives a function: its two fingerprints now."""
    for name in ("cstm", "cstm/graph", "cstm/runtime"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    shutil.copy(fingerprint.__file__, tmp_path / "cstm")
    for name in ("graph/half.py", "runtime/preprocess.py", "runtime/video.py"):
        (tmp_path / "cstm" / name).write_text("x = 1\n")

    def show() -> list[str]:
        command = [sys.executable, "-c", SHOW]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()

    return show


def test_a_changed_file_changes_the_fingerprint_of_its_place_alone(installed, tmp_path):
    graph, preprocess = installed()
    (tmp_path / "cstm/runtime/video.py").write_text("x = 2\n")
    (tmp_path / "cstm/graph/__pycache__").mkdir(exist_ok=True)
    (tmp_path / "cstm/graph/__pycache__/half.cpython-311.pyc.123").write_text("half written by another process")
    assert installed() == [graph, preprocess]
    (tmp_path / "cstm/graph/half.py").write_text("x = 2\n")
    other, same = installed()
    assert other != graph and same == preprocess
    (tmp_path / "cstm/runtime/preprocess.py").write_text("x = 2\n")
    assert installed() == [other, installed()[1]] and installed()[1] != preprocess
    (tmp_path / "cstm/graph/more.py").touch()
    assert installed()[0] not in (graph, other)


def test_folders_of_the_checkout_have_fingerprints_of_their_own():
    places = ("calibration", "graph", "export", "runtime.preprocess")
    assert len({code_fingerprint(place) for place in places}) == len(places)
    assert code_fingerprint("graph", "export") not in (code_fingerprint("graph"), code_fingerprint("export"))
    assert Path(fingerprint.__file__) in fingerprint._files("fingerprint")


def test_what_is_not_there_has_no_fingerprint():
    with pytest.raises(ModuleNotFoundError, match=r"no cstm\.exports"):
        code_fingerprint("exports")
