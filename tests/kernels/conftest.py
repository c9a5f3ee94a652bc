"""Tensors for the kernels, and how near their answers must be."""

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="session")
def normal(device):
    """normal(seed, dtype, *shapes): standard normal tensors."""

    def make(seed: int, dtype: torch.dtype, *shapes):
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]

    return make


@pytest.fixture(scope="session")
def assert_close():
    """assert_close(got, want, scale): within rounding to got's dtype, and FP32's error on values of size `scale`."""

    def check(got: torch.Tensor, want: torch.Tensor, scale: float = 1.0):
        assert want.dtype == torch.float64
        torch.testing.assert_close(
            got.double(), want, rtol=1.01 * torch.finfo(got.dtype).eps, atol=2e-5 * scale, equal_nan=True
        )

    return check
