"""`cstm explain`."""

from cstm.bench.explain import add_arguments, run

__all__ = ["add_arguments", "run"]
