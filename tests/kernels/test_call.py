"""What a runtime loads of the kernels: calls as strings, and no Triton."""

import json
import subprocess
import sys

from cstm.kernels.call import KernelCall


def test_nothing_in_runtime_loads_triton():
    code = (
        "import sys, pkgutil, importlib, cstm.runtime as r\n"
        "for m in pkgutil.walk_packages(r.__path__, 'cstm.runtime.'): importlib.import_module(m.name)\n"
        "import cstm.kernels.plugin_v3, cstm.kernels.openvino_nodes\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('triton', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.stdout.strip() == "[]", done.stderr


def test_a_call_survives_its_two_strings():
    call = KernelCall("ptx\n", "score", 480, 2, 128, 256, (1, 2), (64, 24), "float32")
    fields = call.fields()
    assert KernelCall.from_fields(**fields) == call
    assert json.loads(fields["call"])["blocks"] == 480
