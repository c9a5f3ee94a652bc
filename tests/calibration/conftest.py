"""One quantiser of the small network, on few samples, for the tests that need real ranges."""

import pytest

from cstm.calibration.quantiser import Quantiser
from cstm.calibration.samples import CalibrationOptions
from cstm.models.contract import contract
from cstm.runtime.bundle import Bundle, onnx_file


@pytest.fixture(scope="session")
def fp32_models(bundle_path):
    """The small network's FP32 ONNX by component."""
    bundle = Bundle(bundle_path)
    return {name: bundle.file(onnx_file(name, "fp32")) for name in contract(bundle.config)}


@pytest.fixture(scope="session")
def quantiser(bundle_path, fp32_models, tmp_path_factory):
    """A quantiser whose ranges are measured."""
    bundle = Bundle(bundle_path)
    options = CalibrationOptions(samples=4, force=True)
    quantiser = Quantiser(bundle.config, fp32_models, bundle.reader, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        assert quantiser.ranges and quantiser.component_samples
    return quantiser
