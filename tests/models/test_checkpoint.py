"""Reading and writing checkpoints, on a small network; the authors' file is in test_released.py."""

import numpy as np
import pytest
import torch

from cstm.errors import CheckpointError
from cstm.models import checkpoint
from cstm.models.config import CSTMConfig

SMALL = CSTMConfig.from_preset("tiny", size=32, vocabulary=40, transformer_layers=1)


def test_saved_and_loaded_are_the_same(tmp_path):
    model = checkpoint.seeded(SMALL)
    checkpoint.save_checkpoint(model, tmp_path / "m.safetensors")
    again = checkpoint.load_checkpoint(tmp_path / "m.safetensors")
    assert (again.config, again.provenance, again.trained) == (SMALL, {"kind": "seeded", "seed": 0}, False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_seeded_weights_are_the_same_everywhere():
    assert checkpoint.seeded_tensor("a.weight", (2, 3)).ravel()[:2].tolist() == pytest.approx(
        (np.random.default_rng([zlib_crc("a.weight"), 0]).standard_normal((2, 3)) / np.sqrt(3)).ravel()[:2].tolist()
    )


def zlib_crc(text):
    import zlib

    return zlib.crc32(text.encode())


def test_a_mismatch_lists_missing_unexpected_and_misshapen(tmp_path):
    tensors = {"conv_mask.5.4.bias": torch.zeros(3), "stranger": torch.zeros(1)}
    torch.save(tensors, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError) as raised:
        checkpoint.load_checkpoint(tmp_path / "bad.pth")
    said = str(raised.value)
    assert "missing: " in said and "unexpected: stranger" in said
    assert "misshapen: decoder.heads.5.4.bias (3,) for (1,)" in said


@pytest.mark.parametrize("content", [b"", b"no checkpoint", [1, 2], {"state_dict": {"a": 1}}])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        checkpoint.load_checkpoint(path)


def test_broken_safetensors_are_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(CheckpointError, match="not a CSTM checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "absent.safetensors")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError):
        checkpoint.load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def rename(tensors, rules):
    import re

    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def backbone(model, stream):
    stages = model.encoders[stream].stages
    return {f"stages.{name}": torch.rand_like(tensor.float()) for name, tensor in stages.state_dict().items()}


def test_torchvision_resnet_weights_reach_the_spatial_stream(tmp_path):
    model = checkpoint.seeded(CSTMConfig.from_preset("tiny", size=32, vocabulary=40, spatial_layers=(3, 4, 6, 3)))
    tensors = backbone(model, "spatial")
    rules = [(r"^stages\.0\.0", "conv1"), (r"^stages\.0\.1", "bn1"), (r"^stages\.1\.1", "layer1")]
    rules += [(rf"^stages\.{i}", f"layer{i}") for i in (2, 3, 4)]
    torch.save(rename(tensors, rules) | {"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pth")
    checkpoint.load_resnet50(model, tmp_path / "resnet.pth")
    loaded = model.encoders["spatial"].stages.state_dict()
    assert all(torch.equal(tensors[f"stages.{k}"], v.float()) for k, v in loaded.items() if "num_batches" not in k)


PIERGIAJ = [
    (r"^stages\.0\.0", "Conv3d_1a_7x7"),
    (r"^stages\.1\.1", "Conv3d_2b_1x1"),
    (r"^stages\.1\.2", "Conv3d_2c_3x3"),
    *[(rf"^stages\.{s}\.{i}\.", f"Mixed_{s + 1}{'bcdef'[i - 1]}.") for s in (2, 3, 4) for i in range(1, 6)],
    (r"branches\.0\.", "b0."),
    (r"branches\.3\.1\.", "b3b."),
    *[(rf"branches\.{b}\.{i}\.", f"b{b}{'ab'[i]}.") for b in (1, 2) for i in (0, 1)],
    (r"\.conv\.", ".conv3d."),
    (r"\.norm\.", ".bn."),
]
HASSONY = [
    (r"^stages\.0\.0", "conv3d_1a_7x7"),
    (r"^stages\.1\.1", "conv3d_2b_1x1"),
    (r"^stages\.1\.2", "conv3d_2c_3x3"),
    *[(rf"^stages\.{s}\.{i}\.", f"mixed_{s + 1}{'bcdef'[i - 1]}.") for s in (2, 3, 4) for i in range(1, 6)],
    (r"branches\.(\d)", r"branch_\1"),
    (r"\.conv\.", ".conv3d."),
    (r"\.norm\.", ".batch3d."),
]


@pytest.mark.parametrize("layout", [PIERGIAJ, HASSONY], ids=["piergiaj", "hassony2"])
def test_kinetics_weights_reach_the_temporal_stream(tmp_path, layout):
    model = checkpoint.seeded(SMALL)
    tensors = backbone(model, "temporal")
    torch.save(rename(tensors, layout), tmp_path / "i3d.pth")
    checkpoint.load_i3d(model, tmp_path / "i3d.pth")
    loaded = model.encoders["temporal"].stages.state_dict()
    assert all(torch.equal(tensors[f"stages.{k}"], v.float()) for k, v in loaded.items() if "num_batches" not in k)


def test_bert_weights_from_a_local_folder(tmp_path):
    model, other = checkpoint.seeded(SMALL), checkpoint.seeded(SMALL, seed=1)
    other.text.encoder.save_pretrained(tmp_path / "bert")
    checkpoint.load_bert(model, tmp_path / "bert")
    for name, tensor in other.text.encoder.state_dict().items():
        assert torch.equal(tensor, model.text.encoder.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="not a BERT folder"):
        checkpoint.load_bert(model, tmp_path)
