"""A step in a process of its own: it may raise, crash or hang, and the next one still runs.

`python -m cstm.bench.gpu_steps.apart REQUEST.json` is that process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from cstm.bench.gpu_steps import Step
from cstm.bench.gpu_steps.place import Place, Skipped
from cstm.errors import MissingDependencyError
from cstm.files import write_json

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"
LOOK = 0.05  # seconds between two looks at a step
TAIL, LINES = 4096, 12  # bytes and lines of a failed step's output that are kept


@dataclass(frozen=True)
class Result:
    """What became of a step. said: why it failed or was left out, or what it found. log: a failed one's last lines."""

    name: str
    outcome: str
    said: str
    seconds: float
    expects: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[str, ...] = ()


def run_apart(name: str, step: Step, place: Place, limit: float, show: Callable[[str], None]) -> Result:
    """Run it, for `limit` seconds at most. show: called with what the step tells on its way."""
    answer, log, request = (place.folder / f"{name}.{end}" for end in ("json", "log", "request"))
    asked = {"module": step.module, "options": dict(step.options), "answer": str(answer)}
    write_json(request, asked | {"device": place.device, "folder": str(place.folder), "bundle": str(place.bundle)})
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(request)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=place.folder,  # in the repository's root, `cstm/` would hide the installed package
            env=_environment(step, place),
            start_new_session=True,
        )
        try:
            while (code := process.poll()) is None and time.monotonic() - start < limit:
                show(_last_line(log))
                time.sleep(LOOK)
        finally:
            _end(process)
    outcome, said, figures = _judge(answer, log, code, limit)
    kept = tuple(_lines(log)[-LINES:]) if outcome == FAIL else ()
    return Result(name, outcome, said, round(time.monotonic() - start, 1), step.expects, figures, kept)


def _judge(answer: Path, log: Path, code: int | None, limit: float) -> tuple[str, str, dict[str, Any]]:
    """(outcome, said, figures). code: the process's; None where it was cut."""
    if code is None:
        return FAIL, f"cut after {limit:.0f} s, at: {_last_line(log) or 'nothing was told'}", {}
    told: dict[str, Any] = (
        json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else {"said": _last_line(log)}
    )
    if code == 0 and "outcome" in told:
        return told["outcome"], told["said"], told["figures"]
    ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
    return FAIL, f"its process ended {ended}, after: {told['said'] or 'nothing'}", told.get("figures", {})


def _environment(step: Step, place: Place) -> dict[str, str]:
    """A dry run sees no GPU, and its kernels are interpreted but where a step compiles them."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    if place.dry:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    if place.dry and not step.compiles:
        environment["TRITON_INTERPRET"] = "1"
    return environment


def _end(process: subprocess.Popen) -> None:
    """With all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lines(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        text = file.read().decode("utf-8", errors="replace")
    return [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]


def _last_line(log: Path) -> str:
    return next(reversed(_lines(log)), "").strip()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """{outcome, said, figures} of the step that is asked for, run in this process."""
    place = Place(request["device"], Path(request["folder"]), Path(request["bundle"]))
    try:
        found = asdict(import_module(request["module"]).run(place, **request["options"]))
    except Exception as error:
        if reason := _cannot(error):
            return _told(SKIP, reason)
        traceback.print_exc()
        return _told(FAIL, f"{type(error).__name__}: {error}")
    return _told(PASS if found["passed"] else FAIL, found["said"], found["figures"])


def _cannot(error: Exception) -> str | None:
    """Why the step cannot run here; None where something is wrong instead."""
    if isinstance(error, (Skipped, MissingDependencyError)):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("cstm"):
        return f"{error.name} is not installed"
    return None


def _told(outcome: str, said: str, figures: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"outcome": outcome, "said": " ".join(said.split())[:500], "figures": figures or {}}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    write_json(asked["answer"], answer(asked))
