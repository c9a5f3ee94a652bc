"""Reading and writing checkpoints, on a small network; the authors' file is in test_released.py."""

import pytest
import torch

from cstm.errors import CheckpointError
from cstm.models.checkpoint import load_checkpoint, save_checkpoint
from cstm.models.config import CSTMConfig
from cstm.models.seeded import seeded

SMALL = CSTMConfig.from_preset("tiny", size=32, vocabulary=40, transformer_layers=1)


def test_saved_and_loaded_are_the_same(tmp_path):
    model = seeded(SMALL)
    save_checkpoint(model, tmp_path / "m.safetensors")
    again = load_checkpoint(tmp_path / "m.safetensors")
    assert (again.config, again.provenance, again.trained) == (SMALL, {"kind": "seeded", "seed": 0}, False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_mismatch_lists_missing_unexpected_and_misshapen(tmp_path):
    tensors = {"conv_mask.5.4.bias": torch.zeros(3), "stranger": torch.zeros(1)}
    torch.save(tensors, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(tmp_path / "bad.pth")
    said = str(raised.value)
    assert "missing: " in said and "unexpected: stranger" in said
    assert "misshapen: decoder.heads.5.4.bias (3,) for (1,)" in said


@pytest.mark.parametrize("content", [b"", b"no checkpoint", [1, 2], {"state_dict": {"a": 1}}])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        load_checkpoint(path)


def test_broken_safetensors_are_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(CheckpointError, match="not a CSTM checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "absent.safetensors")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
