"""Our code on the real cuda-core, on a CUDA driver that is built here, without a GPU.

All of it runs in other processes: this one never sees that driver, and a seeded bug can damage nothing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .bugs import BUGS
from .scenarios import SCENARIOS

ROOT = Path(__file__).parents[3]
COMPILE = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-fvisibility=hidden", "-Wl,-soname,libcuda.so.1"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    """The folder with libcuda.so.1."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler (cc, gcc or clang), to build a CUDA driver")
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.core") is None:
        pytest.skip("cuda-core is not installed")
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("libcuda.c")
    subprocess.run([compiler, *COMPILE, "-o", folder / "libcuda.so.1", source], check=True)
    return folder


@pytest.fixture(scope="module")
def outcomes(driver) -> dict[str, dict[str, str | None]]:
    """What became of the scenarios, by the bug that was planted: None where they hold."""
    paths = [str(driver), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    environment = os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("CSTM_CUDA_GRAPHS", None)
    command = [sys.executable, "-m", "tests.runtime.driver"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=99)
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_holds(outcomes, scenario):
    assert outcomes[""][scenario] is None, outcomes[""][scenario]


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_seen(outcomes, bug):
    scenario = BUGS[bug].breaks
    assert outcomes[""][scenario] is None
    assert "AssertionError" in outcomes[bug][scenario]
