"""Mistakes in the order of work on a GPU, and the scenario that each is to break."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bug:
    """In `module`, `right` stands once and is made `wrong`."""

    module: str
    right: str
    wrong: str
    breaks: str

    def plant(self) -> None:
        """Before anything imports the module."""
        assert self.module not in sys.modules
        spec = importlib.util.find_spec(self.module)
        source = Path(spec.origin).read_text(encoding="utf-8")
        assert source.count(self.right) == 1, f"{self.module} has no longer one {self.right!r}: seed the bug anew"
        module = sys.modules[self.module] = importlib.util.module_from_spec(spec)
        exec(compile(source.replace(self.right, self.wrong), spec.origin, "exec"), vars(module))
        package, _, name = self.module.rpartition(".")
        setattr(importlib.import_module(package), name, module)


ARRAY, SESSION = "cstm.runtime.device_array", "cstm.runtime.tensorrt_session"
STAGING, WORKSPACE = "cstm.runtime.staging", "cstm.runtime.workspace"
BUGS = {
    "reading does not wait for the copy": Bug(ARRAY, "stream.sync()", "pass", "reading_waits_for_the_copy"),
    "reading does not wait for other streams": Bug(
        ARRAY,
        "self.order(stream)\n        host =",
        "host =",
        "reading_on_another_stream_waits_for_what_fills_the_array",
    ),
    "copying does not wait for other streams": Bug(
        ARRAY, "source.order(self.stream)", "pass", "an_array_of_another_stream_is_copied_after_it_is_filled"
    ),
    "ours are handed on too early": Bug(
        ARRAY,
        "self.order(cuda_core().Stream.from_handle(stream or DEFAULT_STREAM))",
        "pass",
        "arrays_go_to_others_and_come_back_in_order",
    ),
    "others' are taken too early": Bug(
        ARRAY,
        'stream.wait(core.Stream.from_handle(interface.get("stream") or DEFAULT_STREAM))',
        "pass",
        "arrays_go_to_others_and_come_back_in_order",
    ),
    "sessions do not wait for each other": Bug(
        ARRAY, "stream.wait(self.ready)", "pass", "a_second_session_waits_for_the_first"
    ),
    "inputs are let go before they are read": Bug(
        SESSION, "self._in_flight.append((done, arrays))", "pass", "inputs_in_flight_are_held"
    ),
    "outputs are overwritten before they are read": Bug(
        SESSION, "array.stream.wait(done)", "pass", "the_next_run_waits_until_the_last_ones_outputs_are_read"
    ),
    "graphs are replayed at other addresses": Bug(
        SESSION, "(batch, scratch, *addresses.values())", "(batch, scratch)", "runs_are_replayed_at_their_own_addresses"
    ),
    "a session closes under its work": Bug(
        SESSION, "self.stream.sync()", "pass", "closing_waits_for_the_work_under_way"
    ),
    "a thread has no context": Bug(
        SESSION, "open_device(self._gpu)\n            given", "given", "another_thread_may_run_a_session"
    ),
    "pinned memory is written before it is read": Bug(
        STAGING, "self._read.sync()", "pass", "arrays_of_the_host_may_be_changed_at_once"
    ),
    "scratch memory is used by two at once": Bug(
        WORKSPACE, "if self._used[0] != stream:", "if False:", "sessions_take_turns_with_scratch_memory"
    ),
    "scratch memory is freed under its user": Bug(
        WORKSPACE,
        "self._block.stream.wait(self._used[1])",
        "pass",
        "scratch_memory_that_is_too_small_is_freed_after_its_last_use",
    ),
}
