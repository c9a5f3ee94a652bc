"""`cstm probe`."""

from cstm.bench.probes import add_arguments, run

__all__ = ["add_arguments", "run"]
