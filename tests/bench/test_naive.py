"""The whole network, as peers run it."""

import shutil

import pytest
import torch

from cstm.bench import naive
from cstm.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def exported(bundle_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("naive") / "naive.onnx"
    naive.export_naive(Bundle(bundle_path), path)
    return path


@pytest.mark.parametrize("peer", naive.PEERS)
def test_the_whole_network_answers_as_ours_does(bundle_path, exported, monkeypatch, peer):
    monkeypatch.setattr(naive, "export_naive", lambda bundle, path: shutil.copy(exported, path))
    monkeypatch.setattr(torch, "compile", lambda module: module)  # which takes a minute
    row = naive.compare(Bundle(bundle_path), peer, repeats=2)
    assert row["ratio"] == pytest.approx(row["naive_ms"] / row["chain_ms"]) and row["chain_ms"] > 0
    if peer != "onnxruntime":  # which fuses padding into pooling, and answers wrong: see docs/rewrites.md
        assert row["difference"] < 1e-3
