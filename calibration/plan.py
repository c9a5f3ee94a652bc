"""Which blocks compute in INT8: data, in a file and in a bundle's manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from cstm.errors import RequestError
from cstm.files import write_json
from cstm.graph.blocks import convolutions


@dataclass(frozen=True)
class PrecisionPlan:
    """int8: blocks by component; what it does not name stays in high precision. origin: who chose, on what, and what
    was measured, for people and for the manifest."""

    int8: dict[str, tuple[str, ...]]
    origin: dict = field(default_factory=dict)

    @classmethod
    def everything(cls, models: dict[str, Path]) -> PrecisionPlan:
        """All blocks that can be quantised. models: FP32 ONNX by component."""
        return cls({name: tuple(blocks) for name, blocks in quantisable(models).items()}, {"kind": "everything"})

    @classmethod
    def read(cls, path: Path) -> PrecisionPlan:
        """The plan in a file that `write` wrote. RequestError when it is none."""
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls({name: tuple(blocks) for name, blocks in fields["int8"].items()}, fields["origin"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RequestError(f"{path}: not a precision plan ({error}); make one with cstm plan") from error

    def write(self, path: Path) -> None:
        """As JSON, atomically."""
        write_json(path, self.to_dict())

    def to_dict(self) -> dict:
        """Fields as JSON can hold them."""
        return {"int8": {name: list(blocks) for name, blocks in self.int8.items()}, "origin": self.origin}

    def check(self, models: dict[str, Path]) -> None:
        """RequestError when it names what the network does not have."""
        there = quantisable(models)
        for name, blocks in self.int8.items():
            if name not in models:
                raise RequestError(f"the precision plan names {name}; the network has {', '.join(models)}")
            unknown = sorted(set(blocks) - set(there.get(name, ())))
            if unknown:
                raise RequestError(
                    f"the precision plan names {name} {', '.join(unknown)}, which cannot be quantised or is not there;"
                    f" {name} has {', '.join(there.get(name, ())) or 'nothing to quantise'}"
                )


def quantisable(models: dict[str, Path]) -> dict[str, list[str]]:
    """Blocks that hold a convolution to quantise, by component, in the order in which they run."""
    found = {}
    for name, path in models.items():
        graph = onnx.load(path, load_external_data=False).graph
        last = {output.name for output in graph.output if output.name == "mask_logits"}
        blocks = convolutions(graph)
        kept = {b for b, nodes in blocks.items() if any(last.isdisjoint(node.output) for node in nodes)}
        found[name] = [block for block in blocks if block in kept]
    return {name: blocks for name, blocks in found.items() if blocks}
