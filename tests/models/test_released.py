"""The reference network against the authors' own code, on the inputs of cstm_release/README.md."""

import json

import numpy as np
import pytest
import torch

from cstm.models.checkpoint import load_checkpoint
from cstm.models.config import CSTMConfig
from cstm.models.cstm import CSTM
from cstm.models.seeded import seeded_tensor


@pytest.fixture(scope="module")
def released_file(tmp_path_factory, shared):
    layout = json.loads((shared / "cstm_release/checkpoint_layout.json").read_text())
    tensors = {name: torch.from_numpy(seeded_tensor(name, tuple(shape))) for name, shape in layout.items()}
    path = tmp_path_factory.mktemp("released") / "cstm.pth"
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}, path)
    return path


@pytest.mark.slow
def test_six_maps_agree_with_the_authors(released_file, shared):
    rng = np.random.default_rng(0)
    video = rng.random((1, 3, 8, 64, 64), dtype=np.float32)
    words = np.zeros((1, 20, 300), np.float32)
    words[:, :9] = 0.4 * rng.standard_normal((1, 9, 300))
    expected = np.load(shared / "cstm_release/responses_64px_seed0.npz")
    with torch.inference_mode():
        maps = load_checkpoint(released_file).response_maps(torch.from_numpy(video), torch.from_numpy(words))
    assert [m.shape[-1] for m in maps] == [2, 4, 8, 16, 32, 64]
    for response in maps:
        np.testing.assert_allclose(response, expected[f"response_{response.shape[-1]}"], atol=1e-4)


@pytest.mark.slow
def test_any_multiple_of_32_runs(released_file):
    with torch.inference_mode():
        maps = load_checkpoint(released_file).response_maps(torch.rand(1, 3, 8, 96, 96), torch.zeros(1, 20, 300))
    assert [m.shape[-1] for m in maps] == [3, 6, 12, 24, 48, 96]


def test_every_released_tensor_has_its_place(released_file):
    model = CSTM(CSTMConfig.from_preset("released"))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(184.4e6, rel=1e-3)
