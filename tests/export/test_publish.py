"""A bundle appears proved and whole, or not at all."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from cstm.errors import BundleError, ParityError
from cstm.export import publish
from cstm.files import sha256
from cstm.models.contract import MASK_LOGITS
from cstm.runtime.bundle import GOLDEN
from cstm.runtime.manifest import FileRecord, Manifest


def test_a_publication_that_fails_restores_the_old_bundle(bundle_copy, tmp_path, monkeypatch):
    work = Path(shutil.copytree(bundle_copy, tmp_path / "work"))
    before = sorted(str(p) for p in bundle_copy.rglob("*"))
    rename, calls = Path.rename, []

    def failing(self, target):
        calls.append(target)
        if self.name.startswith(".bundle.new-"):
            raise OSError("no space")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space"):
        publish.publish(work, Manifest.read(work), bundle_copy)
    assert sorted(str(p) for p in bundle_copy.rglob("*")) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "work"]


def test_a_bundle_that_does_not_give_its_recorded_masks_is_not_published(bundle_copy, tmp_path):
    """Nothing before it can see this: every file is what its manifest says."""
    work = Path(shutil.copytree(bundle_copy, tmp_path / "work"))
    with np.load(work / GOLDEN) as arrays:
        wrong = dict(arrays)
    wrong[MASK_LOGITS] = wrong[MASK_LOGITS] + 1
    np.savez(work / GOLDEN, **wrong)
    manifest = Manifest.read(work)
    record = FileRecord(sha256(work / GOLDEN), (work / GOLDEN).stat().st_size)
    with pytest.raises(ParityError, match="onnxruntime in fp32 does not give the recorded masks"):
        publish.publish(work, replace(manifest, files={**manifest.files, GOLDEN: record}), tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "work"]


def test_engines_are_proved_linked_and_one_by_one(bundle_path, monkeypatch):
    proved = []

    def open_chain(bundle, *asked):
        proved.append(asked)
        return SimpleNamespace(chain=SimpleNamespace(close=lambda: None))

    pairs = [(SimpleNamespace(name=name), "fp16") for name in ("openvino", "onnxruntime", "tensorrt")]
    monkeypatch.setattr(publish, "open_chain", open_chain)
    monkeypatch.setattr(publish, "runnable", lambda bundle: (pairs, {}))
    publish.prove(bundle_path)
    assert proved == [("onnxruntime", "fp16", None), ("tensorrt", "fp16", True), ("tensorrt", "fp16", False)]


def test_a_file_that_changed_after_its_step_is_not_published(bundle_copy, tmp_path):
    manifest = Manifest.read(bundle_copy)
    data = (bundle_copy / "tokenizer.json").read_bytes()
    (bundle_copy / "tokenizer.json").write_bytes(data[:-1] + b" ")
    with pytest.raises(BundleError, match=r"tokenizer\.json: altered"):
        publish.publish(bundle_copy, manifest, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_onnx_reads_every_model_of_a_bundle_with_its_weights(bundle_path):
    models = sorted(bundle_path.glob("onnx/*/*.onnx"))
    assert models
    for path in models:
        onnx.checker.check_model(onnx.load(path))
