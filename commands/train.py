"""`cstm train`."""

from cstm.training.train import add_arguments, run

__all__ = ["add_arguments", "run"]
