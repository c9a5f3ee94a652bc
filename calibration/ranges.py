"""The ranges of a network's activations over real samples, in bounded memory: one sample at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx

from cstm.calibration.samples import CalibrationOptions
from cstm.errors import CalibrationError, CSTMError
from cstm.files import cache_folder, sha256, write_json
from cstm.fingerprint import code_fingerprint
from cstm.graph.tensor_range import Range
from cstm.models.config import CSTMConfig
from cstm.models.contract import Component, contract

# The code that decides what ranges are: after a change, old ones are measured again.
DECIDES = ("calibration", "graph", "runtime.preprocess")
BINS = 2048
QUANTISED = 128  # magnitudes that a signed 8-bit number tells apart
FP16_SMALLEST_NORMAL = 2.0**-14
SMALLEST_WIDTH = 2.0**-126  # whose inverse FP32 holds


class Statistics:
    """What has been seen of one tensor: extremes, and a histogram of magnitudes whose bins widen as needed."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.counts, self.width = np.zeros(BINS, np.int64), 0.0
        self.small = self.nonzero = self.size = 0

    def add(self, array: np.ndarray) -> None:
        """Count one sample's values. CalibrationError when one is no number."""
        if not array.size:
            return
        low, high = float(array.min()), float(array.max())
        if not np.isfinite(low + high):
            raise CalibrationError("values that are no numbers")
        self.low, self.high, self.size = min(self.low, low), max(self.high, high), array.size
        magnitudes = np.abs(array, dtype=np.float32).ravel()
        largest = max(-self.low, self.high)
        if self.width == 0 and largest > 0:
            self.width = max(largest / BINS, SMALLEST_WIDTH)
        while self.width and largest > self.width * BINS:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.int64)])
            self.width *= 2
        scale = np.float32(1 / self.width) if self.width else np.float32(0)
        self.counts += np.bincount(np.minimum(magnitudes * scale, BINS - 1).astype(np.int64), minlength=BINS)
        self.nonzero += int(np.count_nonzero(magnitudes))
        self.small += int(np.count_nonzero((magnitudes < FP16_SMALLEST_NORMAL) & (magnitudes > 0)))

    def range(self, options: CalibrationOptions) -> Range:
        """What it comes to by the method."""
        largest = max(-self.low, self.high)
        if options.method == "max" or self.width == 0:
            limit = largest
        elif options.method == "percentile":
            place = np.searchsorted(np.cumsum(self.counts), self.counts.sum() * options.percentile / 100)
            limit = min((place + 1) * self.width, largest)
        else:
            limit = min(entropy_limit(self.counts, self.width), largest)
        return Range(self.low, self.high, float(limit), self.small / max(self.nonzero, 1), self.size)


def entropy_limit(counts: np.ndarray, width: float, levels: int = QUANTISED) -> float:
    """The magnitude to cut at so that the 8-bit distribution tells the most about the real one.

    counts: int [BINS], a histogram of magnitudes with bins of `width`. Minimises the Kullback-Leibler divergence over
    the cuts, as TensorRT's entropy calibration does (Migacz, "8-bit Inference with TensorRT", GTC 2017). Zeros say
    nothing of the scale, so the first bin counts as its neighbour.
    """
    counts = counts.astype(np.float64)
    counts[0] = counts[1]
    best, chosen = np.inf, len(counts)
    for cut in range(levels, len(counts) + 1, 8):
        real = counts[:cut].copy()
        real[-1] += counts[cut:].sum()
        group = np.arange(cut) * levels // cut
        kept = counts[:cut]
        sums, filled = np.bincount(group, kept, levels), np.bincount(group, kept > 0, levels)
        spread = np.where(kept > 0, sums[group] / np.maximum(filled[group], 1), 0)
        divergence = _divergence(real, spread)
        if divergence < best:
            best, chosen = divergence, cut
    return chosen * width


def _divergence(real: np.ndarray, spread: np.ndarray) -> float:
    real, spread = real / max(real.sum(), 1), spread / max(spread.sum(), 1)
    used = real > 0
    return float((real[used] * np.log(real[used] / np.maximum(spread[used], 1e-12))).sum())


Ranges = dict[str, dict[str, Range]]  # by component, then by tensor


class MeasureRanges:
    """Configured here, measured by calling. Every float32 activation of every component, on the real outputs of the
    components before it.

    models: the FP32 ONNX file of each component. inputs: the chain's, a sample a row. The result is kept in the cache
    under the hash of models, inputs, method and the code of `DECIDES`.
    """

    def __init__(
        self, config: CSTMConfig, models: dict[str, Path], inputs: dict[str, np.ndarray], options: CalibrationOptions
    ):
        self.components = contract(config)
        self.models, self.inputs, self.options = models, inputs, options

    def __call__(self, report: Callable[[int], None] | None = None) -> Ranges:
        """Ranges by component and tensor. report: called with the number of samples done. CalibrationError names the
        first tensor with a value that is no number."""
        file = cache_folder() / "ranges" / f"{self.key()}.json"
        with suppress(OSError, ValueError, TypeError, AttributeError):
            return read_ranges(file)
        statistics: dict[str, dict[str, Statistics]] = {name: {} for name in self.components}
        sessions = {name: _Watched(self.components[name], self.models[name]) for name in self.components}
        count = len(next(iter(self.inputs.values())))
        for number in range(count):
            values = {name: array[number : number + 1] for name, array in self.inputs.items()}
            for name, session in sessions.items():
                outputs = session.run(self.components[name].pick(values))
                _add(statistics[name], outputs, name, number)
                values |= {spec.name: outputs[spec.name] for spec in self.components[name].outputs}
            if report:
                report(number + 1)
        found = {n: {t: s.range(self.options) for t, s in tensors.items()} for n, tensors in statistics.items()}
        with suppress(CSTMError):  # where the cache cannot be written, nothing is kept
            write_ranges(found, file)
        return found

    def key(self) -> str:
        """A hash of all that decides the result."""
        made_by = code_fingerprint(*DECIDES)
        digest = hashlib.sha256(repr((self.options.method, self.options.percentile, made_by)).encode())
        for name in self.components:
            digest.update(sha256(self.models[name]).encode())
        for name, array in sorted(self.inputs.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:24]


class _Watched:
    """A component with all its float32 activations as outputs."""

    def __init__(self, component: Component, path: Path):
        import onnxruntime

        model = onnx.shape_inference.infer_shapes(onnx.load(path))
        given = {value.name for value in model.graph.output}
        inner = [v for v in model.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
        model.graph.output.extend(onnx.ValueInfoProto(name=v.name) for v in inner if v.name not in given)
        self.floats = [spec.name for spec in component.inputs if spec.dtype == "float32"]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # As written: what optimisation would fuse away is what has to be seen.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        watched = {output.name for output in self.session.get_outputs()}
        self.names = [name for node in model.graph.node for name in node.output if name in watched]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every float32 activation, inputs included, in the order in which they are made."""
        outputs = dict(zip(self.names, self.session.run(self.names, inputs), strict=True))
        return {name: inputs[name] for name in self.floats} | outputs


def _add(statistics: dict[str, Statistics], arrays: dict[str, np.ndarray], component: str, number: int) -> None:
    for name, array in arrays.items():
        try:
            statistics.setdefault(name, Statistics()).add(array)
        except CalibrationError as error:
            raise CalibrationError(
                f"{component}: {name} holds {error} for calibration sample {number}; the checkpoint or the data is bad"
            ) from error


def write_ranges(ranges: Ranges, path: Path) -> None:
    """As JSON, atomically."""
    plain = {name: {tensor: asdict(r) for tensor, r in tensors.items()} for name, tensors in ranges.items()}
    write_json(path, plain)


def read_ranges(path: Path) -> Ranges:
    """The inverse of `write_ranges`."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    return {name: {tensor: Range(**fields) for tensor, fields in tensors.items()} for name, tensors in plain.items()}
