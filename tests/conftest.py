"""What several test folders share."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

# Where there is no GPU, Triton's kernels run in its interpreter, which has to be chosen before anything imports Triton.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

SHARED = Path(os.environ.get("CSTM_SHARED", Path(__file__).parents[2] / "shared"))


def pytest_collection_modifyitems(items):
    """Tests that need the small bundle are marked, for `make quick`; files are put into `make test`'s best order."""
    for item in items:
        if "bundle_path" in getattr(item, "fixturenames", ()):
            item.add_marker("bundle")
    items[:] = _in_order_of_work(items)


def _in_order_of_work(items: list) -> list:
    """Files in the order in which processes take them: one that builds the bundle; meanwhile the slow ones that need
    none; those that need it; and the quick ones last, so that no process is left alone with a long file."""
    bundle, slow = (
        dict.fromkeys(item.path for item in items if item.get_closest_marker(marker)) for marker in ("bundle", "slow")
    )
    builder = next(iter(bundle), None)

    def turn(item) -> int:
        if item.path in bundle:
            return 0 if item.path == builder else 2
        return 1 if item.path in slow else 3

    return sorted(items, key=turn)


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory, worker_id) -> Path:
    """A folder that all processes of this run of the tests see."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "common"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Held by one process; another waits here until it is let go."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The workplace's folder of fixtures and data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent (set CSTM_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def small_checkpoint(common_folder) -> Path:
    """A small seeded network in a file."""
    from cstm.models.checkpoint import save_checkpoint
    from cstm.models.config import CSTMConfig
    from cstm.models.seeded import seeded

    config = CSTMConfig.from_preset("tiny", size=64, transformer_layers=1, spatial_width=0.125, temporal_width=0.125)
    path = common_folder / "small.safetensors"
    with one_at_a_time(common_folder / "checkpoint.lock"):
        if not path.exists():
            save_checkpoint(seeded(config), path)
    return path


@pytest.fixture(scope="session")
def bundle_path(small_checkpoint, common_folder) -> Path:
    """A bundle of the small network, with every precision and, where TensorRT-RTX is installed, engines; built once
    for all processes, so read only."""
    from cstm.export.builder import BuildBundle, BuildOptions
    from cstm.export.sources import Source

    output = common_folder / "small"
    with one_at_a_time(common_folder / "bundle.lock"):
        if output.exists():
            return output
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
