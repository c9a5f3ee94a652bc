"""Runs the scenarios, and then with each bug the one that it is to break: `python -m tests.runtime.driver`.

Each time in a process of its own, forked when what is slow to import is there. Prints a line of JSON for each: the bug,
"" for none, and by scenario null where it holds, else why not.
"""

import json
import os
import traceback

import cuda.core  # noqa: F401
import numpy  # noqa: F401

from .bugs import BUGS


def outcomes(name: str) -> dict[str, str | None]:
    bug = BUGS.get(name)
    if bug:
        bug.plant()
    from .scenarios import SCENARIOS

    found: dict[str, str | None] = {}
    for scenario in [bug.breaks] if bug else SCENARIOS:
        try:
            found[scenario] = SCENARIOS[scenario]()
        except Exception:
            found[scenario] = traceback.format_exc()
    return found


for name in ("", *BUGS):
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        print(json.dumps([name, outcomes(name)]), flush=True)
        os._exit(0)
