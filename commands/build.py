"""`cstm build`."""

from cstm.export.build_engines import add_arguments, run

__all__ = ["add_arguments", "run"]
