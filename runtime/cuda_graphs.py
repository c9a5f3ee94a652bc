"""Runs that come again, recorded as CUDA graphs: one call to the driver launches all of a run's kernels."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from cstm.errors import EngineError
from cstm.runtime.engine_context import EngineContext
from cstm.runtime.tolerance import Difference

if TYPE_CHECKING:
    from cuda.core import Stream

MOST = 8  # graphs a session keeps
SWITCH = "CSTM_CUDA_GRAPHS"  # 0 in the environment: none are recorded
APART = 1e-3  # relative; a replay runs the same kernels, which may add up in another order


class CudaGraphs:
    """The recorded runs of one session, by all that a recording fixes: shapes and addresses.

    A run is recorded when it comes a second time, and kept if its replay answers as the plain run did. Where that fails
    the session goes on without graphs: `problem` says why, and so does the log.
    """

    def __init__(self, name: str, stream: Stream):
        self.name, self.stream = name, stream
        self.problem = f"{SWITCH}=0" if os.environ.get(SWITCH) == "0" else None
        self._graphs: OrderedDict[Hashable, Any] = OrderedDict()  # None: seen once

    def run(self, key: Hashable, context: EngineContext, answer: Callable[[], dict[str, np.ndarray]]) -> None:
        """Put the run that `key` stands for, and that `context` is bound to, on the stream.

        answer: waits for its outputs and gives their values.
        """
        graph = self._graphs.get(key)
        if graph is not None:
            self._graphs.move_to_end(key)
            graph.launch(self.stream)
            return
        context.launch()
        if self.problem is None and key in self._graphs:
            self._record(key, context, answer)
        self._keep(key)

    def clear(self) -> None:
        """Forget them all."""
        self._graphs.clear()

    def _record(self, key: Hashable, context: EngineContext, answer: Callable[[], dict[str, np.ndarray]]) -> None:
        try:
            if not context.can_be_recorded:
                raise EngineError("the engine cannot be recorded")
            plain = answer()
            graph = record(self.stream, context.launch)
            graph.launch(self.stream)
            apart = max(Difference.between(array, plain[name]).relative for name, array in answer().items())
            if not apart <= APART:
                raise EngineError(f"replayed, its outputs differ by {apart:.1e}")
            self._graphs[key] = graph
        except Exception as error:  # CUDA's own share no base class
            self.problem = str(error)
            self._graphs.clear()
            logging.getLogger(__name__).warning("%s: no CUDA graphs: %s", self.name, error)
            context.launch()  # whatever a replay has left in the outputs

    def _keep(self, key: Hashable) -> None:
        self._graphs.setdefault(key, None)
        while len(self._graphs) > MOST:
            self._graphs.popitem(last=False)


def record(stream: Stream, launch: Callable[[], None]) -> Any:
    """What `launch` puts on `stream`, as a `cuda.core.graph.Graph`; nothing of it is run. CUDA's own exceptions."""
    builder = stream.create_graph_builder()
    builder.begin_building("thread_local")
    try:
        launch()
    finally:
        builder.end_building()
    return builder.complete()
