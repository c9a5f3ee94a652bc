"""Convolutions of upsampled maps, with the upsampling half before them and half after: the same, for fewer products."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs

ROWS, COLUMNS = 2, 3  # axes of [B,C,H,W]
# Of fewer channels (`tiny` has 48), moving the maps costs what the products save; see docs/rewrites.md.
WIDE = 128


def convolve_half_way(model: onnx.ModelProto, least: int = WIDE) -> onnx.ModelProto:
    """Let 2D convolutions read maps that are upsampled along the rows alone, and upsample down the columns afterwards.

    Bilinear upsampling is linear, and the same for every channel. With the corners aligned it goes row by row and then
    column by column, so with W_k the k-th row of the weights

        Conv(W, Up(D)) = sum over k of Shift_k(Up_columns(Conv(W_k, Up_rows(D))))

    where Shift_k moves by k minus the middle row and lets zeros in, as the padding has it. The convolutions see half of
    the rows, so half of the products are left. Where a `Concat` lies between, what is not upsampled keeps a convolution
    of its own. Upsampling that others read as well is left alone, and so are maps of less than `least` channels.
    """
    graph = gs.import_onnx(onnx.shape_inference.infer_shapes(model, data_prop=True))
    for conv in [node for node in graph.nodes if node.op == "Conv"]:
        sources = _sources(conv) if _keeps_size(conv) else []
        upsampled = [maps for maps in sources if _is_upsampled(maps) and maps.shape[1] >= least]
        if upsampled:
            _rewrite(graph, conv, sources, upsampled)
    graph.cleanup().toposort()
    return gs.export_onnx(graph)


def _keeps_size(conv: gs.Node) -> bool:
    """Whether it is a plain 2D convolution with constant weights, whose result is as large as its input."""
    weights = conv.inputs[1]
    if not isinstance(weights, gs.Constant) or len(weights.shape) != 4:
        return False
    height, width = weights.shape[2:]
    half = [height // 2, width // 2]
    plain = all(conv.attrs.get(name, [1, 1]) == [1, 1] for name in ("strides", "dilations"))
    odd = height % 2 == width % 2 == 1
    same = conv.attrs.get("auto_pad", "NOTSET") == "NOTSET" and conv.attrs.get("pads") == half + half
    return odd and height > 1 and plain and same and conv.attrs.get("group", 1) == 1


def _sources(conv: gs.Node) -> list[gs.Tensor]:
    """The tensors whose channels it reads, where their numbers are known."""
    maps = conv.inputs[0]
    joined = maps.inputs[0] if maps.inputs else None
    alone = joined is not None and len(maps.outputs) == 1
    sources = list(joined.inputs) if joined is not None and alone and _joins_channels(joined) else [maps]
    known = all(source.shape is not None and isinstance(source.shape[1], int) for source in sources)
    return sources if known else []


def _joins_channels(node: gs.Node) -> bool:
    return node.op == "Concat" and node.attrs["axis"] == 1


def _is_upsampled(maps: gs.Tensor) -> bool:
    """By a bilinear `Resize` with aligned corners, along both sides, that nothing else reads."""
    if not maps.inputs or maps.inputs[0].op != "Resize" or len(maps.outputs) != 1 or maps.shape is None:
        return False
    resize = maps.inputs[0]
    bilinear = resize.attrs.get("mode", "nearest") == "linear"
    aligned = resize.attrs.get("coordinate_transformation_mode", "half_pixel") == "align_corners"
    sizes = [(_side(resize.inputs[0], axis), _side(maps, axis)) for axis in (ROWS, COLUMNS)]
    larger = all(before and after and before < after for before, after in sizes)
    return bilinear and aligned and "axes" not in resize.attrs and len(maps.shape) == 4 and larger


def _side(maps: gs.Tensor, axis: int) -> int | None:
    side = maps.shape[axis] if maps.shape is not None and len(maps.shape) == 4 else None
    return side if isinstance(side, int) else None


def _rewrite(graph: gs.Graph, conv: gs.Node, sources: list[gs.Tensor], upsampled: list[gs.Tensor]) -> None:
    weights, bias = conv.inputs[1].values, conv.inputs[2:]
    ends = np.cumsum([source.shape[1] for source in sources])
    parts = list(zip(sources, np.split(weights, ends[:-1], axis=1), strict=True))
    make = _Maker(graph, conv)
    kept = [(maps, part) for maps, part in parts if maps not in upsampled]
    terms = []
    if kept:
        maps = make("Concat", [maps for maps, _ in kept], axis=1) if len(kept) > 1 else kept[0][0]
        terms.append(make.conv(maps, np.concatenate([part for _, part in kept], axis=1), bias))
    for maps, part in parts:
        if maps in upsampled:
            terms += _half_way(make, maps, part, [] if terms else bias)
    total = terms[0]
    for term in terms[1:]:
        total = make("Add", [total, term])
    result = conv.outputs[0]
    conv.outputs.clear()
    total.inputs[0].outputs = [result]


def _half_way(make: _Maker, maps: gs.Tensor, weights: np.ndarray, bias: list[gs.Tensor]) -> list[gs.Tensor]:
    """The terms of the sum. The bias goes with the middle row, which is not moved: upsampled, it is itself."""
    source = maps.inputs[0].inputs[0]
    wide = make.resized(source, COLUMNS, maps.shape[COLUMNS] / source.shape[COLUMNS])
    terms = []
    for row in range(weights.shape[2]):
        by = row - weights.shape[2] // 2
        narrow = make.conv(wide, weights[:, :, row : row + 1], [] if by else bias)
        term = make.resized(narrow, ROWS, maps.shape[ROWS] / source.shape[ROWS])
        terms.append(make.moved_up(term, by) if by else term)
    return terms


class _Maker:
    """Adds nodes to a graph in place of a convolution, and names them after it."""

    def __init__(self, graph: gs.Graph, conv: gs.Node):
        self._graph, self._name, self._dtype = graph, conv.name or conv.outputs[0].name, conv.inputs[1].values.dtype
        self._made = 0

    def __call__(self, op: str, inputs: list[gs.Tensor], **attributes: object) -> gs.Variable:
        """The output of a new node."""
        self._made += 1
        name = f"{self._name}_{op}_{self._made}"
        output = gs.Variable(name, dtype=self._dtype)
        self._graph.nodes.append(gs.Node(op, name, attributes, inputs, [output]))
        return output

    def conv(self, maps: gs.Tensor, weights: np.ndarray, bias: list[gs.Tensor]) -> gs.Variable:
        """A convolution that keeps the size."""
        height, width = weights.shape[2:]
        half = [height // 2, width // 2]
        constant = self._constant("weights", np.ascontiguousarray(weights))
        return self("Conv", [maps, constant, *bias], kernel_shape=[height, width], pads=half + half)

    def resized(self, maps: gs.Tensor, axis: int, scale: float) -> gs.Variable:
        """Interpolated linearly along one axis, the corners aligned."""
        scales = np.ones(4, np.float32)
        scales[axis] = scale
        inputs = [maps, gs.Variable.empty(), self._constant("scales", scales)]
        return self("Resize", inputs, mode="linear", coordinate_transformation_mode="align_corners")

    def moved_up(self, maps: gs.Tensor, by: int) -> gs.Variable:
        """By so many rows, or down where negative; zeros come in."""
        kept = (by, np.iinfo(np.int64).max) if by > 0 else (0, by)
        names = ("first", "end", "axis")
        bounds = [self._constant(name, np.array([n])) for name, n in zip(names, (*kept, ROWS), strict=True)]
        pads = np.zeros(8, np.int64)
        pads[ROWS], pads[4 + ROWS] = max(-by, 0), max(by, 0)
        return self("Pad", [self("Slice", [maps, *bounds]), self._constant("pads", pads)])

    def _constant(self, what: str, values: np.ndarray) -> gs.Constant:
        self._made += 1
        return gs.Constant(f"{self._name}_{what}_{self._made}", values)
