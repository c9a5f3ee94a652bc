"""A bundle opened on a backend, and proved there: the recorded inference must come out again."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from cstm.errors import BundleError, CSTMError, MissingDependencyError, ParityError
from cstm.runtime.backends import MODULES, Backend, agree, backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.tolerance import Difference


@dataclass(frozen=True)
class Opened:
    """A chain ready to run. reason: why it is this backend, and why not those before it."""

    backend: Backend
    precision: str
    reason: str
    chain: Chain


def open_chain(
    bundle: Bundle,
    name: str = "auto",
    precision: str | None = None,
    linked: bool | None = None,
    threads: int | None = None,
) -> Opened:
    """The chain of the backend `name`, which works or raises; "auto" takes the first of the table that opens this
    bundle here and gives the recorded masks. linked: as for `Backend.open_program`. threads: as
    `Backend.threads`.

    MissingDependencyError, EngineError, ParityError or RequestError say what is missing, which version is, or which
    precisions there are; BundleError, that the bundle is damaged, whatever the backend.
    """
    if not isinstance(name, str) or name != "auto":
        return _open(backend(name, threads), bundle, precision, linked, "asked for")
    reasons: list[str] = []
    for candidate in (backend(module, threads) for module in MODULES):
        try:
            return _open(candidate, bundle, precision, linked, "; ".join([*reasons, f"{candidate.name}: chosen"]))
        except BundleError:
            raise
        except CSTMError as error:
            reasons.append(f"{candidate.name}: {str(error).removeprefix(f'{candidate.name}: ')}")
            logging.getLogger(__name__).info("passed over %s", reasons[-1])
    raise MissingDependencyError(f"no backend runs this bundle here ({'; '.join(reasons)}); see cstm doctor")


def _open(found: Backend, bundle: Bundle, precision: str | None, linked: bool | None, reason: str) -> Opened:
    agreed = agree(found, bundle, precision)
    chain = Chain(bundle.config, found.open_program(bundle, agreed, linked))
    try:
        check_golden(bundle, chain, found.name, agreed)
    except BaseException:
        chain.close()
        raise
    return Opened(found, agreed, reason, chain)


def check_golden(bundle: Bundle, chain: Chain, name: str, precision: str) -> None:
    """ParityError unless the chain, on backend `name`, gives the bundle's recorded masks within `precision`."""
    inputs, expected = bundle.golden()
    difference = Difference.between(chain(inputs), expected)
    if not difference.within(precision, strict=True):
        raise ParityError(
            f"{bundle.path}: {name} in {precision} does not give the recorded masks"
            f" ({difference.shown(precision)}); rebuild the bundle here, or try another backend or precision"
        )
