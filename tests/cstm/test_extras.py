"""What is imported, and what a message says to install, can be installed."""

import ast
import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cstm.packages import EXTRAS

ROOT = Path(__file__).parents[2]
FOLDERS = [init.parent for init in ROOT.glob("*/__init__.py") if init.parent.name != "tests"]
FILES = [path for folder in FOLDERS for path in folder.rglob("*.py")]
# Of packages that are not installed where there is no GPU.
ABSENT = {"tensorrt": "tensorrt", "cuda": "cuda-python"}


def extras():
    return set(metadata.metadata("cstm").get_all("Provides-Extra"))


def required(extra):
    """The distributions that an extra, or "" the bare install, brings by name."""
    found = map(Requirement, metadata.requires("cstm"))
    return {canonicalize_name(r.name) for r in found if not r.marker or r.marker.evaluate({"extra": extra})}


packages = cache(metadata.packages_distributions)


def distributions(module):
    """Those that hold a module."""
    found = packages().get(module, [ABSENT.get(module, module)])
    return {canonicalize_name(name) for name in found}


def imported():
    """Every module that is imported anywhere, but for Python's own and ours."""
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module)
    return {name.split(".")[0] for name in found} - sys.stdlib_module_names - {"cstm"}


def test_what_is_imported_is_required():
    ours = set().union(*(required(extra) for extra in extras() - {"test", "docs"}))
    modules = imported()
    assert {"numpy", "torch", "cuda", "h5py", "triton"} <= modules
    assert {module for module in modules if not distributions(module) & ours} == set()


def test_a_module_comes_from_the_extra_that_is_said_to_bring_it():
    assert {module for module, extra in EXTRAS.items() if not distributions(module) & required(extra)} == set()


def test_every_extra_that_is_named_anywhere_is_there():
    files = [*FILES, *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    texts = (path.read_text(encoding="utf-8") for path in files)
    named = {name for text in texts for found in re.findall(r"cstm\[([a-z,]+)\]", text) for name in found.split(",")}
    assert {"kernels", "export"} <= named <= extras()


def test_cuda_libraries_come_with_the_gpu_build_of_onnxruntime():
    (gpu,) = (r for r in map(Requirement, metadata.requires("cstm")) if r.name == "onnxruntime-gpu")
    assert gpu.extras == {"cuda", "cudnn"}
