"""Kernels as PTX, compiled in a process of its own: here they are interpreted."""

import json
import os
import subprocess
import sys

import pytest

CODE = """
import json, torch
from cstm.kernels.aot import compile_call
from cstm.kernels.modulation import modulation

maps, key, bias = (torch.empty(1, *shape, dtype=torch.float16, device="meta") for shape in ((8, 4, 4), (8, 5), (5,)))
launches = modulation(maps, maps, key, bias, key)[1]
print(json.dumps([compile_call(launch).ptx for launch in launches]))
"""


@pytest.mark.slow
def test_drivers_of_cuda_12_take_a_plugins_ptx_on_any_gpu_from_ampere_on():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ptx = json.loads(done.stdout)
    assert len(ptx) == 3
    for text in ptx:
        assert ".version 8.0\n" in text and ".target sm_80\n" in text
