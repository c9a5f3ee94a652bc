"""`cstm kernels`."""

from cstm.bench.kernel_compile import add_arguments, run

__all__ = ["add_arguments", "run"]
