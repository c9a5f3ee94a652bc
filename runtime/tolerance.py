"""How far results may be from the PyTorch reference, per precision: the one place that says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ABSOLUTE = {"fp32": 1e-4}
RELATIVE = {"fp16": 1e-2, "bf16": 1e-2, "int8": 0.15, "int8_bf16": 0.15}
# Lowest IoU of masks: BF16 keeps 8 bits, INT8 has 256 steps, and the edges of small masks move.
MASK_IOU = {"fp32": 0.999, "fp16": 0.99, "bf16": 0.95, "int8": 0.8, "int8_bf16": 0.8}


@dataclass(frozen=True)
class Difference:
    """How far an array is from its reference.

    absolute: largest absolute difference. relative: |a - b| / |b| in the Euclidean norm. scale: largest |b|.
    """

    absolute: float
    relative: float
    scale: float

    @classmethod
    def between(cls, actual: np.ndarray, reference: np.ndarray) -> Difference:
        """Of two arrays of one shape. Not a number anywhere in `actual` makes both differences infinite."""
        reference = np.asarray(reference, np.float64)
        gap = np.asarray(actual, np.float64) - reference
        scale = float(np.abs(reference).max())
        if not np.isfinite(gap).all():
            return cls(np.inf, np.inf, scale)
        norm = float(np.linalg.norm(reference))
        return cls(float(np.abs(gap).max()), float(np.linalg.norm(gap)) / max(norm, 1e-30), scale)

    def within(self, precision: str, strict: bool = False) -> bool:
        """FP32: absolute to 1e-4, FP16 and BF16: relative to 1e-2, INT8: to 0.15 (what it may cost is judged by IoU).

        strict: for the chain's logits. Otherwise FP32's bound grows with `scale` above one, as components are also
        compared on random inputs that no network would make.
        """
        if precision in ABSOLUTE:
            return self.absolute <= ABSOLUTE[precision] * (1.0 if strict else max(1.0, self.scale))
        return self.relative <= RELATIVE[precision]

    def shown(self, precision: str) -> str:
        """The figure that `within` judges, as text."""
        return f"{self.absolute:.1e} abs" if precision in ABSOLUTE else f"{self.relative:.1e} rel"

    @staticmethod
    def worst(differences: list[Difference]) -> Difference:
        """The largest figure of each kind; absolute differences are compared in units of their tolerance's scale."""
        largest = max(differences, key=lambda d: d.absolute / max(1.0, d.scale))
        return Difference(largest.absolute, max(d.relative for d in differences), largest.scale)
