"""The runtime needs only what setup.py's bare install brings, plus one backend: no PyTorch, no exporter."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CODE = """
import sys
import cstm
from cstm.commands.main import main
code = main(sys.argv[1:])
loaded = sorted({name.split(".")[0] for name in sys.modules} & {"torch", "onnx", "transformers", "triton", "modelopt"})
print("loaded", loaded, file=sys.stderr)
sys.exit(code)
"""


def bare_requirements():
    return [r for r in metadata.requires("cstm") if "extra ==" not in r]


def closure(requirements):
    """Names of the distributions that pip would install for `requirements`."""
    found, waiting = set(), [Requirement(r) for r in requirements]
    while waiting:
        requirement = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = requirement.name.lower().replace("_", "-")
        if name not in found:
            found.add(name)
            waiting += [Requirement(r) for r in metadata.requires(requirement.name) or ()]
    return found


@pytest.fixture(params=["onnxruntime", "openvino"])
def bare(request, tmp_path):
    """A folder of links that holds cstm, its bare requirements, and one backend; (folder, backend)."""
    site = tmp_path / "site"
    site.mkdir()
    for name in closure([*bare_requirements(), request.param]):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files if file.parts[0] != ".."}:
            if not (site / top).exists() and top != "__pycache__":
                (site / top).symlink_to(distribution.locate_file(top))
    (site / "cstm").mkdir()
    for file in (ROOT / "cstm").glob("*.py"):
        (site / "cstm" / file.name).symlink_to(file)
    for folder in (init.parent for init in ROOT.glob("*/__init__.py") if init.parent.name != "cstm"):
        (site / "cstm" / folder.name).symlink_to(folder)
    info = metadata.distribution("cstm")
    (site / "cstm-0.1.0.dist-info").mkdir()
    (site / "cstm-0.1.0.dist-info/METADATA").write_text(info.read_text("METADATA") or info.read_text("PKG-INFO"))
    return site, request.param


def run(bare, *arguments):
    code = f"import sys; sys.path[:0] = [{str(bare[0])!r}]\n{CODE}"
    # -I -S: neither this environment's packages nor the user's.
    return subprocess.run([sys.executable, "-I", "-S", "-c", code, *arguments], capture_output=True, text=True)


def test_segmenting_without_pytorch(bare, bundle_path, tmp_path):
    clip = str(ROOT / "data/demo/people.mp4")
    out = tmp_path / "o.mp4"
    done = run(bare, "segment", clip, "the dog", "--every", "35", "--bundle", str(bundle_path), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert out.is_file() and bare[1] in done.stdout
    assert "loaded []" in done.stderr


def test_what_is_missing_is_named(bare, bundle_path):
    done = run(bare, "parity", str(bundle_path))
    assert done.returncode == 2
    assert "pip install" in done.stderr and "Traceback" not in done.stderr
    done = run(bare, "build")
    assert done.returncode == 2
    assert 'pip install "cstm[export]"' in done.stderr and "Traceback" not in done.stderr
    done = run(bare, "data", "sprites", "x")
    assert done.returncode == 2
    assert 'pip install "cstm[train]"' in done.stderr and "Traceback" not in done.stderr
    done = run(bare, "train", "x")
    assert done.returncode == 2
    assert "pip install" in done.stderr and "Traceback" not in done.stderr
