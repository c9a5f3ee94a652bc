"""Our two operators at the network's places: their inputs, the launches that answer, and how near an answer must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cstm.bench.kernel_shapes import CONFIG, DTYPES, network_shapes
from cstm.kernels import plain
from cstm.kernels.launch import Launch
from cstm.kernels.modulation import modulate_triton, modulation
from cstm.kernels.selection import blending, pooling, select_triton

Function = Callable[..., Tensor]
# Ours, and its definition.
OPERATORS: dict[str, tuple[Function, Function]] = {
    "modulate": (modulate_triton, plain.modulate),
    "select": (select_triton, plain.select),
}
# Relative, in the Euclidean norm: results are rounded once; FP32 also carries the error of its sums.
BOUNDS = {"fp16": 6e-4, "bf16": 5e-3, "fp32": 2e-6}
SMALL = [  # as of `network_shapes`, for the interpreter
    ("modulate", "small", (1, 8, 7, 9)),
    ("modulate", "small and deep", (1, 6, 3, 5, 7)),
    ("select", "small", (1, 8, 7, 9)),
]


def places(dry: bool) -> list[tuple[str, str, tuple[int, ...]]]:
    """(operator, place, shape of its maps for one sample): all of the network's, or a few small ones."""
    return SMALL if dry else network_shapes()


def arguments(name: str, shape: tuple[int, ...], dtype: str, device: torch.device) -> list[Tensor]:
    """Normal tensors for the operator: two maps of `shape` and what belongs to them. dtype: of DTYPES; LGFS's layers
    are FP32."""
    generator = torch.Generator(device).manual_seed(0)
    batch, channels, words, width = *shape[:2], CONFIG.max_words, CONFIG.text_width

    def normal(kind: torch.dtype, *shapes: tuple[int, ...]) -> list[Tensor]:
        return [torch.randn(s, generator=generator, device=device).to(kind) for s in shapes]

    maps = normal(DTYPES[dtype], shape, shape)
    if name == "modulate":
        return maps + normal(DTYPES[dtype], (batch, channels, words), (batch, words), (batch, channels, words))
    layers = ((batch, width), (channels, 2 * channels + width), (channels,), (2 * channels, channels), (2 * channels,))
    return maps + [0.05 * layer for layer in normal(torch.float32, *layers)]


@dataclass(frozen=True)
class Operator:
    """One operator in memory that stays. arguments: its inputs. launches: our kernels. run: they, and what PyTorch does
    between them; fills `out`."""

    name: str
    arguments: list[Tensor]
    out: Tensor
    launches: tuple[Launch, ...]
    run: Callable[[], None]

    @classmethod
    def make(cls, name: str, shape: tuple[int, ...], dtype: str, device: torch.device) -> Operator:
        """As `arguments`."""
        given = arguments(name, shape, dtype, device)
        return (cls._modulate if name == "modulate" else cls._select)(given)

    @classmethod
    def _modulate(cls, given: list[Tensor]) -> Operator:
        out, launches = modulation(*given)

        def run() -> None:
            for launch in launches:
                launch.run()

        return cls("modulate", given, out, tuple(launches), run)

    @classmethod
    def _select(cls, given: list[Tensor]) -> Operator:
        spatial, temporal, *layers = given
        pooled, pool = pooling(spatial, temporal)
        scores = torch.zeros_like(pooled)
        out, blend = blending(spatial, temporal, scores)

        def run() -> None:
            pool.run()
            scores.copy_(plain.stream_scores(pooled, *layers))
            blend.run()

        return cls("select", given, out, (pool, blend), run)

    @property
    def maps(self) -> list[Tensor]:
        """The two big inputs."""
        return self.arguments[:2]

    def expected(self) -> Tensor:
        """The definition's answer, in FP64."""
        return OPERATORS[self.name][1](*(tensor.double() for tensor in self.arguments))


def answer_error(actual: Tensor, expected: Tensor, dtype: str) -> tuple[float, float]:
    """(relative error in the Euclidean norm, its bound). Not a number anywhere makes the error not a number."""
    return ((actual.double() - expected).norm() / expected.norm()).item(), BOUNDS[dtype]
