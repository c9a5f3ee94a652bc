import subprocess
import sys

import pytest

import cstm


def test_every_public_name_is_there():
    for name in cstm.__all__:
        assert getattr(cstm, name).__doc__
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cstm.nonsense


def test_importing_cstm_imports_nothing_heavy():
    code = "import cstm, sys; print({'torch', 'numpy', 'av'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
