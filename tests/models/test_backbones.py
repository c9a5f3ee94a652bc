"""Backbones' weights from files in their authors' layouts."""

import re

import pytest
import torch

from cstm.errors import CheckpointError
from cstm.models.backbones import load_bert, load_i3d, load_resnet50
from cstm.models.config import CSTMConfig
from cstm.models.seeded import seeded

SMALL = CSTMConfig.from_preset("tiny", size=32, vocabulary=40, transformer_layers=1)


def rename(tensors, rules):
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
    model = seeded(CSTMConfig.from_preset("tiny", size=32, vocabulary=40, spatial_layers=(3, 4, 6, 3)))
    tensors = backbone(model, "spatial")
    rules = [(r"^stages\.0\.0", "conv1"), (r"^stages\.0\.1", "bn1"), (r"^stages\.1\.1", "layer1")]
    rules += [(rf"^stages\.{i}", f"layer{i}") for i in (2, 3, 4)]
    torch.save(rename(tensors, rules) | {"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pth")
    load_resnet50(model, tmp_path / "resnet.pth")
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
    model = seeded(SMALL)
    tensors = backbone(model, "temporal")
    torch.save(rename(tensors, layout), tmp_path / "i3d.pth")
    load_i3d(model, tmp_path / "i3d.pth")
    loaded = model.encoders["temporal"].stages.state_dict()
    assert all(torch.equal(tensors[f"stages.{k}"], v.float()) for k, v in loaded.items() if "num_batches" not in k)


def test_bert_weights_from_a_local_folder(tmp_path):
    model, other = seeded(SMALL), seeded(SMALL, seed=1)
    other.text.encoder.save_pretrained(tmp_path / "bert")
    load_bert(model, tmp_path / "bert")
    for name, tensor in other.text.encoder.state_dict().items():
        assert torch.equal(tensor, model.text.encoder.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="not a BERT folder"):
        load_bert(model, tmp_path)
