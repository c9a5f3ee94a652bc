"""`cstm naive`."""

from cstm.bench.naive import add_arguments, run

__all__ = ["add_arguments", "run"]
