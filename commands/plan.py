"""`cstm plan`."""

from cstm.calibration.planner import add_arguments, run

__all__ = ["add_arguments", "run"]
