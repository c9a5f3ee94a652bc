"""Which block of the network each convolution belongs to: the unit in which precision is chosen.

Weights keep the module's path as their name through export ("encoder.stages.2.1.conv.weight").
"""

from __future__ import annotations

import re

import onnx

PATTERNS = (
    (re.compile(r"^encoder\.(?:stages|cmam|project)\.(\d)\."), "stage_{}"),
    (re.compile(r"^fusion\.(\d)\."), "stage_{}"),
    (re.compile(r"^merge\.(\d)\."), "step_{}"),
)
HEAD = re.compile(r"^head\.")


def convolutions(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The convolutions of each block, in the order in which they run."""
    blocks: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        block = _block_of_weight(node.input[1]) if node.op_type == "Conv" else None
        if block:
            blocks.setdefault(block, []).append(node)
    return blocks


def _block_of_weight(name: str) -> str | None:
    if HEAD.match(name):
        return "head"
    for pattern, block in PATTERNS:
        if match := pattern.match(name):
            return block.format(int(match[1]) + 1)
    return None
