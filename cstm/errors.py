"""What can go wrong, by what the user can do about it. Each message says what was wrong, where, and what to do."""


class CSTMError(Exception):
    """A problem the user can act on. The command line prints its message as one line and exits with 2."""


class MissingDependencyError(CSTMError):
    """A package, device or driver that the request needs is absent."""


class CheckpointError(CSTMError):
    """A checkpoint that is unreadable or does not fit the network."""


class BundleError(CSTMError):
    """A bundle that is of another schema, incomplete or altered."""


class RequestError(CSTMError):
    """A request that cannot be met as it stands: a backend, precision or option that there is not."""


class EngineError(CSTMError):
    """A model or engine that a backend cannot load, build or run; TensorRT's belong to one version and GPU."""


class VideoError(CSTMError):
    """A video that cannot be opened, holds no frames, or breaks off."""


class DatasetError(CSTMError):
    """A dataset's files that are missing, broken or not in the expected format."""


class QueryError(CSTMError):
    """A sentence that the network cannot read."""


class ContractError(CSTMError):
    """Arrays that do not have the names, shapes or types that a component declares."""


class ParityError(CSTMError):
    """Results that differ from the PyTorch reference by more than the tolerance."""


class CalibrationError(CSTMError):
    """Calibration data that cannot show a network's ranges, or ranges that cannot be represented."""


def first_line(error: Exception) -> str:
    """Of a library's message, which may have many; its kind where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)
