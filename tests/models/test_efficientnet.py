"""EfficientNet-Lite0 against the package whose weights it takes."""

import pytest
import torch

from cstm.errors import CheckpointError
from cstm.models.backbones import load_efficientnet
from cstm.models.config import CSTMConfig
from cstm.models.cstm import CSTM
from cstm.models.efficientnet import efficientnet_stages


@pytest.fixture(scope="module")
def package():
    return pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch")


def theirs_after_each_stage(network, x):
    """The output of their blocks before each one that halves, and of the last."""
    x, maps = network._swish(network._bn0(network._conv_stem(x))), []
    for block in network._blocks:
        if block._depthwise_conv.stride[0] == 2:
            maps.append(x)
        x = block(x)
    return [*maps, x]


def test_features_equal_the_packages(package, tmp_path):
    torch.manual_seed(0)
    theirs = package.EfficientNet.from_name("efficientnet-lite0").eval()
    for norm in (module for module in theirs.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    torch.save(theirs.state_dict(), tmp_path / "lite0.pth")
    model = CSTM(CSTMConfig.from_preset("small")).eval()
    load_efficientnet(model, tmp_path / "lite0.pth")
    x = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        wanted = theirs_after_each_stage(theirs, (255 * x - 127) / 128)
        for stage, map_ in zip(model.encoders["spatial"].stages, wanted, strict=True):
            x = stage(x)
            torch.testing.assert_close(x, map_, atol=1e-5, rtol=1e-5)


def test_channels_and_strides_are_what_the_configuration_says():
    x, config = torch.rand(1, 3, 64, 64), CSTMConfig.from_preset("small")
    for number, stage in enumerate(efficientnet_stages().eval(), start=1):
        x = stage(x)
        assert x.shape == (1, config.spatial_channels[number - 1], 64 >> number, 64 >> number)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"_conv_stem.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_efficientnet(CSTM(CSTMConfig.from_preset("small")), tmp_path / "other.pth")
