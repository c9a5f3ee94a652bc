"""What a TensorRT plugin of ours is: a kernel compiled ahead of time, and how to call it. Free of Triton and torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

STEPS = {  # plugins by name, one kernel each, and how many tensors they read
    "ScoreWords": 2,
    "WeighWords": 2,
    "RaiseChannels": 4,
    "PoolStreams": 2,
    "BlendStreams": 3,
}
VERSION = "1"


@dataclass(frozen=True)
class KernelCall:
    """One call for any batch. Two strings carry it, in ONNX attributes and in plugin fields: `ptx` and `call`, JSON.

    ptx: the kernel. entry: its name in there; its parameters are the tensors read, `scalars` (int32), and the tensor
    written. blocks: programs along x for a batch of 1, to be multiplied by the batch. columns: programs along y.
    threads and shared: of a program, shared in bytes. shape: of the tensor written, without the batch. dtype: its own,
    by numpy's name, or bfloat16.
    """

    ptx: str
    entry: str
    blocks: int
    columns: int
    threads: int
    shared: int
    scalars: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str

    def fields(self) -> dict[str, str]:
        """The two strings."""
        rest = asdict(self)
        return {"ptx": rest.pop("ptx"), "call": json.dumps(rest)}

    @classmethod
    def from_fields(cls, ptx: str, call: str) -> KernelCall:
        """Back from the two strings."""
        rest = json.loads(call)
        return cls(ptx, **rest | {name: tuple(rest[name]) for name in ("scalars", "shape")})
