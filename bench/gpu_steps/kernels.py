"""Does every kernel of ours give its definition's answer, at every place of the network, in every type?"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch

from cstm.bench.gpu_steps.operators import OPERATORS, answer_error, arguments, places
from cstm.bench.gpu_steps.place import Found, Place, tell
from cstm.bench.kernel_shapes import DTYPES

BATCH = 2


def run(place: Place) -> Found:
    """A row for each place and type; all within their bounds, or the worst that is not."""
    torch.backends.cuda.matmul.allow_tf32 = False
    rows = [_row(*where, dtype, place) for where, dtype in product(places(place.dry), DTYPES)]
    far = [row for row in rows if not row["error"] < row["bound"]]
    worst = {dtype: max(row["error"] for row in rows if row["dtype"] == dtype) for dtype in DTYPES}
    said = f"{len(rows)} answers, the worst off by {', '.join(f'{e:.1e} in {d}' for d, e in worst.items())}"
    if far:
        said = f"{len(far)} of {said}; too far: {', '.join('{operator} {where} {dtype}'.format_map(r) for r in far)}"
    return Found(said, {"answers": rows}, passed=not far)


def _row(name: str, where: str, shape: tuple[int, ...], dtype: str, place: Place) -> dict[str, Any]:
    tell(f"{name} {where} {dtype}")
    kernel, definition = OPERATORS[name]
    given = arguments(name, (BATCH, *shape[1:]), dtype, torch.device(place.device))
    error, bound = answer_error(kernel(*given), definition(*(tensor.double() for tensor in given)), dtype)
    return {"operator": name, "where": where, "dtype": dtype, "shape": shape, "error": error, "bound": bound}
