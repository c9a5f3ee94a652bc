"""Peak memory of one backend on one bundle, measured in a process of its own (Linux)."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cstm.errors import EngineError
from cstm.runtime.backends import backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain


def peak_memory(bundle: Path, name: str, precision: str) -> int:
    """Bytes of host memory at the peak of loading and running the recorded inference. EngineError when it fails."""
    command = [sys.executable, "-m", "cstm.bench.memory", str(bundle.resolve()), name, precision]
    # From elsewhere: in the repository's root, `cstm/` would hide the installed package.
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir())
    if done.returncode != 0:
        raise EngineError(f"{name} in {precision} failed: {' | '.join(done.stderr.strip().splitlines()[-2:])}")
    return int(done.stdout.split()[-1])


def _measure(path: str, name: str, precision: str) -> int:
    bundle = Bundle(path)
    with Chain(bundle.config, backend(name).open_program(bundle, precision)) as chain:
        chain(bundle.golden()[0])
    return own_peak()


def own_peak() -> int:
    """Bytes of host memory at this process's peak so far."""
    # Not ru_maxrss: a child inherits the size of the process that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak) * 1024


if __name__ == "__main__":
    print(_measure(*sys.argv[1:]))
