import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import cstm

ROOT = Path(__file__).parents[2]


def test_every_public_name_is_there():
    assert {*cstm.__all__} == {*cstm._PUBLIC, "__version__"}
    for name in cstm._PUBLIC:
        assert getattr(cstm, name).__doc__
    assert cstm.__version__ == metadata.version("cstm")
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cstm.nonsense


def test_importing_cstm_imports_nothing_heavy():
    code = "import cstm, sys; print({'torch', 'numpy', 'av'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_source_folder_alone_says_what_is_wrong(tmp_path):
    """As where Python starts in the repository's root, and the package is installed, not in editable mode."""
    shutil.copytree(ROOT / "cstm", tmp_path / "cstm")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import cstm.runtime"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is only a part of the source" in done.stderr and "pip install -e ." in done.stderr
