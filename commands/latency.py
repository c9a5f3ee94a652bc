"""`cstm latency`."""

from cstm.bench.latency import add_arguments, run

__all__ = ["add_arguments", "run"]
