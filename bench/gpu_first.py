"""The first ten minutes on a GPU: what runs there, what answers right, how fast. No network is needed.

python bench/gpu_first.py [BUNDLE] [--dry] [--only STEP ...] [--list] [--minutes N] [--json F]

`gpu_steps/` has the steps. They run from a bare checkout too, where `cstm` is not installed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def link_package(folder: Path) -> None:
    """Put `cstm` into `folder`, as links to the repository's folders, and let this process and its children find it."""
    package = folder / "cstm"
    package.mkdir()
    for init in ROOT.glob("*/__init__.py"):
        source = init.parent
        links = source.glob("*.py") if source.name == "cstm" else [source]
        for link in links:
            (package / link.name).symlink_to(link)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def run() -> int:
    """The exit code: 0, 1 where a step failed, 2 after one line that says what to do."""
    from cstm.bench.gpu_steps.command import main

    return main()


if __name__ == "__main__":
    if find_spec("cstm"):
        sys.exit(run())
    with tempfile.TemporaryDirectory() as place:
        link_package(Path(place))
        sys.exit(run())
