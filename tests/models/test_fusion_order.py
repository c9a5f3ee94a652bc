"""The order in which the released decoder concatenates, re-implemented from the published description in plain torch.

Stage 5 has the spatial stream first, the other stages the temporal one; the coarser map comes before the stage's own.
"""

import pytest
import torch
import torch.nn.functional as F

from cstm.models.components import DecoderComponent, FusionComponent
from cstm.models.config import CSTMConfig
from cstm.models.cstm import CSTM
from cstm.models.released import released_to_ours
from cstm.models.seeded import seeded_tensor

WIDTH = 8
NARROW = {"text_width": 8, "word_vector_width": 8, "spatial_layers": (1, 1, 1, 1), "spatial_width": 0.125}
CONFIG = CSTMConfig.from_preset("released", size=64, decoder_width=WIDTH, temporal_width=0.125, **NARROW)
PARTS = {"0.weight": (WIDTH, 2 * WIDTH, 3, 3), "0.bias": (WIDTH,)} | {
    f"1.{part}": (WIDTH,) for part in ("weight", "bias", "running_mean", "running_var")
}
WEIGHTS = {  # by the released code's names: five convolutions that make two streams one, four that go up the stages
    f"{block}.{index}.{part}": torch.from_numpy(seeded_tensor(f"{block}.{index}.{part}", shape))
    for block, count in (("conv_fuse1", 5), ("conv_fuse2", 4))
    for index in range(count)
    for part, shape in PARTS.items()
}


def block(name, *maps):
    """Convolution of the maps side by side, batch norm, ReLU."""
    weight, bias, scale, shift, mean, variance = (WEIGHTS[f"{name}.{part}"] for part in PARTS)
    x = F.conv2d(torch.cat(maps, dim=1), weight, bias, padding=1)
    return F.relu(F.batch_norm(x, mean, variance, scale, shift))


def up(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def expected(spatial, temporal):
    """The fused maps of stages 1..5 and the six levels, coarse to fine."""
    fused = [block(f"conv_fuse1.{k}", temporal[k], spatial[k]) for k in range(4)]
    fused.append(block("conv_fuse1.4", spatial[4], temporal[4]))
    levels = [fused[4]]
    for k in (3, 2, 1, 0):
        levels.append(block(f"conv_fuse2.{k}", up(levels[-1]), fused[k]))
    return fused, [*levels, up(levels[-1])]


@pytest.fixture(scope="module")
def model():
    model = CSTM(CONFIG).eval()
    loaded = model.load_state_dict({released_to_ours(name): tensor for name, tensor in WEIGHTS.items()}, strict=False)
    assert not loaded.unexpected_keys
    return model


@pytest.fixture(scope="module")
def streams():
    """Spatial and temporal maps of stages 1..5."""
    draw = torch.Generator().manual_seed(0)
    return [[torch.randn(2, WIDTH, 64 >> k, 64 >> k, generator=draw) for k in range(1, 6)] for _ in "st"]


@torch.inference_mode()
def test_the_reference_concatenates_as_released(model, streams):
    fused, levels = expected(*streams)
    got = [fuse(list(maps)) for fuse, maps in zip(model.fusion, zip(*streams, strict=True), strict=True)]
    for ours, theirs in zip(got, fused, strict=True):
        torch.testing.assert_close(ours, theirs)
    responses = model.decoder(got)
    for response, head, level in zip(responses, model.decoder.heads, levels, strict=True):
        torch.testing.assert_close(response, head(level)[:, 0])


@torch.inference_mode()
def test_what_is_deployed_concatenates_as_released(model, streams):
    fused, levels = expected(*streams)
    sentence = torch.zeros(2, CONFIG.text_width)
    got = FusionComponent(model)(*streams[0], *streams[1], sentence)
    for ours, theirs in zip(got, fused, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(DecoderComponent(model)(*got), model.decoder.heads[5](levels[5]))
