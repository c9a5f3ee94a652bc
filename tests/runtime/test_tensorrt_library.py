"""What engines are tied to, and what TensorRT says of those that it cannot run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cstm.errors import EngineError
from cstm.runtime import tensorrt_library as library
from cstm.runtime.manifest import BuiltWith


@pytest.mark.parametrize(
    ("version", "compatible", "runs"),
    [
        ("10.9.0", False, True),
        ("10.10.0", False, False),
        ("10.10.0", True, True),
        ("10.8.5", True, False),
        ("11.0.0", True, False),
        (None, True, False),
    ],
)
def test_an_engine_runs_in_its_version_or_a_later_one_where_it_was_built_so(version, compatible, runs):
    built = BuiltWith("10.9.0", "GPU", version_compatible=compatible)
    if runs:
        library.check_version("toy", "tensorrt", version, built)
        return
    with pytest.raises(EngineError, match=r"built with tensorrt 10\.9\.0"):
        library.check_version("toy", "tensorrt", version, built)


A100 = "NVIDIA A100-SXM4-40GB"


@pytest.mark.parametrize(
    ("gpu", "architecture", "compatible", "runs"),
    [
        (A100, "80", False, True),
        ("NVIDIA A100-SXM4-80GB", "80", False, True),
        ("NVIDIA A100-PCIE-40GB", "80", False, False),
        ("NVIDIA L4", "89", False, False),
        ("NVIDIA L4", "89", True, True),
        ("Tesla T4", "75", True, False),
    ],
)
def test_an_engine_runs_on_its_gpus_model_or_from_ampere_on(gpu, architecture, compatible, runs):
    built = BuiltWith("10", A100, hardware_compatible=compatible)
    library.check_gpu("toy", "tensorrt_rtx", gpu, architecture, built)
    if runs:
        library.check_gpu("toy", "tensorrt", gpu, architecture, built)
        return
    with pytest.raises(EngineError, match=f"built on {A100}, but this GPU is {gpu}: .*--hardware-compatible"):
        library.check_gpu("toy", "tensorrt", gpu, architecture, built)


def test_memory_is_no_part_of_a_gpus_model():
    names = ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe", "NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 4090")
    assert [library.gpu_model(name) for name in names] == [
        "NVIDIA A100-SXM4",
        "NVIDIA A100 PCIe",
        "NVIDIA H100 HBM3",
        "NVIDIA GeForce RTX 4090",
    ]


@pytest.mark.parametrize(
    ("valid", "why", "said"),
    [
        (0, 0, None),
        (1, 1, None),  # suboptimal, but it runs
        (2, 0, None),  # no reason given: loading it will say
        (2, 2, "not built for this GPU's architecture"),
        (2, 1 | 4, "another version: rebuild .*; the driver is too old"),
    ],
)
def test_tensorrts_own_verdict_is_the_message(valid, why, said):
    trt = pytest.importorskip("tensorrt_rtx")
    verdict = trt.EngineValidity(valid), why
    runtime = SimpleNamespace(engine_header_size=4, get_engine_validity=lambda head: (len(head) == 4) and verdict)
    if said is None:
        library.check_validity("toy", trt, runtime, b"engine")
        return
    with pytest.raises(EngineError, match=f"toy: TensorRT cannot run the engine here: .*{said}"):
        library.check_validity("toy", trt, runtime, b"engine")
    library.check_validity("toy", trt, SimpleNamespace(), b"engine")  # an older TensorRT gives no verdict


def test_every_reason_of_tensorrt_has_its_words():
    trt = pytest.importorskip("tensorrt_rtx")
    assert set(trt.EngineInvalidityDiagnostics.__members__) == set(library.WHY_INVALID)
