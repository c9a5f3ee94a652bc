"""The wheel, as a user who has no checkout gets it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cstm.files import sha256
from cstm.models.weights import SHIPPED

ROOT = Path(__file__).parents[1]
CHECKPOINT = "checkpoint.safetensors"


@pytest.fixture(scope="module")
def wheel(bundle_path, tmp_path_factory) -> Path:
    """The wheel with the small bundle in the place of the shipped one; of that it has the checkpoint."""
    out = tmp_path_factory.mktemp("wheel")
    bundle = shutil.copytree(bundle_path, out / "bundle")
    shutil.copyfile(SHIPPED, bundle / CHECKPOINT)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][CHECKPOINT] = {"sha256": sha256(SHIPPED), "bytes": SHIPPED.stat().st_size}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(out), str(ROOT)]
    environment = os.environ | {"CSTM_SHIPPED": str(bundle)}
    subprocess.run(command, check=True, env=environment, timeout=300)
    return next(out.glob("cstm-*.whl"))


def test_the_wheel_holds_the_bundle_without_a_second_copy_of_the_checkpoint(wheel, bundle_path):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.removeprefix("cstm/runtime/shipped/") for name in names if name.startswith("cstm/runtime/shipped/")}
    there = {str(file.relative_to(bundle_path)) for file in bundle_path.rglob("*") if file.is_file()}
    assert shipped == there - {CHECKPOINT}
    assert [name for name in names if name.startswith("cstm/models/weights/") and "__init__" not in name] == [
        "cstm/models/weights/tiny.safetensors"
    ], "small's terms are its model card's"
    assert "cstm/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "build/"))]


@pytest.mark.slow
def test_an_installed_wheel_segments_with_the_bundle_it_carries(wheel, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    python = environment / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", "--no-compile"]
    install += ["-c", str(ROOT / "constraints.txt"), f"{wheel}[cpu]"]
    subprocess.run(install, check=True, timeout=600)
    place = tmp_path / "elsewhere"
    place.mkdir()
    masks = place / "masks.json"
    video = ROOT / "data" / "demo" / "people.mp4"
    command = [str(environment / "bin" / "cstm"), "segment", str(video), "the person in red", "--every", "40"]
    done = subprocess.run([*command, "--masks", str(masks)], cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    record = json.loads(masks.read_text())
    assert record["frames"] and all(len(frame["masks"]) == 1 for frame in record["frames"])
    listed = subprocess.run([str(python), "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert "torch" not in listed and "onnx " not in listed
