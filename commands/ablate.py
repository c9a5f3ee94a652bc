"""`cstm ablate`."""

from cstm.training.ablate import add_arguments, run

__all__ = ["add_arguments", "run"]
