"""`cstm eval`."""

from cstm.bench.evaluate import add_arguments, run

__all__ = ["add_arguments", "run"]
