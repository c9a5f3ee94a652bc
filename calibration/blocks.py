"""Which block of the network each node of a component's graph belongs to: the unit in which precision is chosen.

Weights keep the module's path as their name through export ("encoder.stages.2.1.conv.weight"); the other nodes belong
to the block of what they compute on.
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


def node_blocks(graph: onnx.GraphProto) -> dict[str, str]:
    """Block by node name, for nodes that a block's weights reach. Nodes before the first weights are left out."""
    by_tensor: dict[str, str] = {}
    found: dict[str, str] = {}
    for node in graph.node:
        own = [block for block in map(_block_of_weight, node.input) if block]
        inherited = [by_tensor[name] for name in node.input if name in by_tensor]
        block = next(iter(own + inherited), None)
        if block:
            found[node.name] = block
            by_tensor |= dict.fromkeys(node.output, block)
    return found


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
