"""What several test folders share."""

import os
import signal
from pathlib import Path

import pytest
import torch

# Where there is no GPU, Triton's kernels run in its interpreter, which has to be chosen before anything imports Triton.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

SHARED = Path(os.environ.get("CSTM_SHARED", Path(__file__).parents[2] / "shared"))


def pytest_collection_modifyitems(items):
    """Tests that need the small bundle are marked, for `make quick`."""
    for item in items:
        if "bundle_path" in getattr(item, "fixturenames", ()):
            item.add_marker("bundle")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The workplace's folder of fixtures and data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent (set CSTM_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory) -> Path:
    """A small seeded network in a file."""
    from cstm.models.checkpoint import save_checkpoint
    from cstm.models.config import CSTMConfig
    from cstm.models.seeded import seeded

    config = CSTMConfig.from_preset("tiny", size=64, transformer_layers=1, spatial_width=0.125, temporal_width=0.125)
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(seeded(config), path)
    return path


@pytest.fixture(scope="session")
def bundle_path(small_checkpoint, tmp_path_factory) -> Path:
    """A bundle of the small network, with every precision and, where TensorRT-RTX is installed, engines."""
    from cstm.export.builder import BuildBundle, BuildOptions
    from cstm.export.sources import Source

    output = tmp_path_factory.mktemp("bundles") / "small"
    return BuildBundle(BuildOptions(Source(small_checkpoint), output, max_batch=2))()


@pytest.fixture
def bundle_copy(bundle_path, tmp_path) -> Path:
    """A copy of the bundle, free to be damaged."""
    import shutil

    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def fp32_models(bundle_path):
    """The small network's FP32 ONNX by component."""
    from cstm.models.contract import contract
    from cstm.runtime.bundle import Bundle, onnx_file

    bundle = Bundle(bundle_path)
    return {name: bundle.file(onnx_file(name, "fp32")) for name in contract(bundle.config)}


@pytest.fixture(scope="session")
def quantiser(bundle_path, fp32_models, tmp_path_factory):
    """A quantiser whose ranges are measured."""
    from cstm.calibration.quantiser import Quantiser
    from cstm.calibration.samples import CalibrationOptions
    from cstm.runtime.bundle import Bundle

    bundle = Bundle(bundle_path)
    options = CalibrationOptions(samples=4, force=True)
    quantiser = Quantiser(bundle.config, fp32_models, bundle.reader, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        assert quantiser.ranges and quantiser.component_samples
    return quantiser


@pytest.fixture
def default_interrupts():
    """Whoever runs the tests may ignore the signal, and processes inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)
