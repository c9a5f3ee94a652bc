"""The backends: one file each, one table here. A named backend works or raises; it never falls back to another."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import ModuleType

from cstm.errors import CSTMError, MissingDependencyError, RequestError
from cstm.models.contract import contract, program
from cstm.packages import installed_version
from cstm.runtime.bundle import Bundle
from cstm.runtime.session import Session

# In the order in which "auto" tries them: engines first, then the fastest CPU runtime, PyTorch last.
MODULES = {
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "tensorrt",
    "onnxruntime-tensorrt": "onnxruntime",
    "onnxruntime-cuda": "onnxruntime",
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
}


class Backend(ABC):
    """A way to run components. name: as users say it. package: the distribution it needs. extra: what installs it.

    threads: how many a session on the CPU computes with; None for one a core, each bound to its own.
    """

    package: str
    extra: str

    def __init__(self, name: str):
        self.name = name
        self.threads: int | None = None

    def require(self, bundle: Bundle | None = None) -> None:
        """MissingDependencyError or EngineError unless it can run on this machine and, where given, this bundle."""
        if self.version() is None:
            raise MissingDependencyError(
                f'{self.name}: {self.package} is not installed; pip install "cstm[{self.extra}]"'
            )
        self.load()

    def load(self) -> ModuleType:
        """The backend's library. MissingDependencyError where it is installed and cannot be loaded."""
        try:
            return self.import_library()
        except Exception as error:  # a missing shared library, a file that cannot be read, another interpreter's build
            raise MissingDependencyError(
                f"{self.name}: {self.package} {self.version()} is installed but cannot be loaded"
                f" ({type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else ''});"
                f' pip install --force-reinstall "cstm[{self.extra}]"'
            ) from error

    @abstractmethod
    def import_library(self) -> ModuleType:
        """The module that the backend stands on, imported."""

    @abstractmethod
    def precisions(self, bundle: Bundle) -> tuple[str, ...]:
        """The precisions in which it runs `bundle` here, the default first. Empty when there is none."""

    @abstractmethod
    def open_component(self, bundle: Bundle, component: str, precision: str) -> Session:
        """A session for one component. Called only after `require`, and when `precision` is offered."""

    @abstractmethod
    def links(self, bundle: Bundle, precision: str) -> bool:
        """Whether it runs `bundle` in that precision as the linked program."""

    def why_not(self, precision: str) -> str:
        """Why this machine does not offer a precision that the bundle holds; "" where there is nothing to say."""
        return ""

    def version(self) -> str | None:
        """The installed version of `package`, or None."""
        return installed_version(self.package)

    def problem(self, bundle: Bundle | None = None) -> str | None:
        """What `require` says, in one line; None when nothing is wrong."""
        try:
            self.require(bundle)
        except CSTMError as error:
            return str(error)
        return None

    def open_program(self, bundle: Bundle, precision: str, linked: bool | None = None) -> dict[str, Session]:
        """Sessions for a `Chain`: of the linked program where there is one, else of the components one by one.

        linked: which of the two; RequestError where there is no linked program.
        """
        if linked and not self.links(bundle, precision):
            raise RequestError(f"{self.name}: the bundle holds no linked program in {precision}; rebuild it")
        whole = self.links(bundle, precision) if linked is None else linked
        return self.open(bundle, precision, (program if whole else contract)(bundle.config))

    def open(self, bundle: Bundle, precision: str, components: Iterable[str] | None = None) -> dict[str, Session]:
        """Sessions by component, all of the contract by default. What was opened is closed again when one fails."""
        sessions: dict[str, Session] = {}
        try:
            for component in components or contract(bundle.config):
                sessions[component] = self.open_component(bundle, component, precision)
        except BaseException:
            for session in sessions.values():
                session.close()
            raise
        return sessions


def backend(name: str, threads: int | None = None) -> Backend:
    """The backend of that name. threads: as `Backend.threads`, for OpenVINO and ONNX Runtime; others have their own.

    RequestError, listing those there are, when there is no such backend, or when `threads` is no number of them.
    """
    if threads is not None and (type(threads) is not int or threads < 1):
        raise RequestError(f"threads={threads!r}: must be a whole number, 1 or more")
    if not isinstance(name, str):
        raise RequestError(f"backend is a {type(name).__name__}; give a name, of {', '.join(MODULES)}")
    if name not in MODULES:
        raise RequestError(f"no backend {name!r}; choose from {', '.join(MODULES)}")
    found = importlib.import_module(f"cstm.runtime.backends.{MODULES[name]}").make(name)
    found.threads = threads
    return found


def runnable(
    bundle: Bundle, names: Iterable[str] | None = None, precisions: Iterable[str] | None = None
) -> tuple[list[tuple[Backend, str]], dict[str, str]]:
    """Every (backend, precision) that runs `bundle` here, and why other backends do not.

    names: only these, each of which must run (errors as in `agree`). precisions: only these.
    """
    pairs, reasons = [], {}
    for found in map(backend, names or MODULES):
        try:
            agree(found, bundle, None)
        except CSTMError as error:
            if names:
                raise
            reasons[found.name] = str(error)
            continue
        pairs += [(found, p) for p in found.precisions(bundle) if precisions is None or p in precisions]
    return pairs, reasons


def agree(found: Backend, bundle: Bundle, precision: str | None) -> str:
    """The precision that `found` will run `bundle` in. CSTMError when it cannot."""
    found.require(bundle)
    offered = found.precisions(bundle)
    if not offered:
        raise RequestError(f"{found.name}: the bundle holds nothing for it; rebuild it with cstm build")
    if precision is None:
        return offered[0]
    if not isinstance(precision, str):
        raise RequestError(f"precision is a {type(precision).__name__}; give a name, of {', '.join(offered)}")
    if precision not in offered:
        reason = f" ({why})" if (why := found.why_not(precision)) else ""
        raise RequestError(f"{found.name}: no {precision} here{reason}, choose from {', '.join(offered)}")
    return precision
