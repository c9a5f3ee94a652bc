"""The fastest choice of INT8 blocks whose masks stay within a budget, by measurement on the backend at hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cstm.calibration.accuracy import Accuracy, HeldOut
from cstm.calibration.plan import PrecisionPlan, quantisable
from cstm.calibration.quantiser import Quantiser
from cstm.errors import RequestError
from cstm.models.contract import TEXT_ENCODER, Component, contract
from cstm.runtime.chain import Chain
from cstm.runtime.session import Session
from cstm.runtime.timing import session_medians

Choice = dict[str, tuple[str, ...]]  # blocks in INT8, by component
FORM = {"openvino": "cpu", "onnxruntime": "cpu", "tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt"}


@dataclass(frozen=True)
class Trial:
    """One choice, measured. milliseconds: of the chain without the text encoder, batch 1."""

    label: str
    choice: Choice
    accuracy: Accuracy
    milliseconds: float

    def to_dict(self) -> dict:
        """Fields as JSON can hold them."""
        choice = {name: list(blocks) for name, blocks in self.choice.items()}
        return {"label": self.label, "int8": choice, "ms": self.milliseconds} | self.accuracy.to_dict()


class SearchPlan:
    """Configured here, searched by calling.

    First every component, then every block alone: what it costs in mean IoU and what it saves in time. Then all blocks
    that may save time together; while that costs more than the budget, the block that costs most for what it saves
    goes back to high precision.

    backend: of FORM. budget: largest drop of mean IoU. folder: for the models tried.
    """

    def __init__(self, quantiser: Quantiser, held_out: HeldOut, backend: str, budget: float, folder: Path):
        check_request(backend, budget)
        self.quantiser, self.held_out, self.backend, self.budget, self.folder = (
            quantiser,
            held_out,
            backend,
            budget,
            Path(folder),
        )
        self.components = contract(quantiser.config)
        self.open = opener(backend)
        self.trials: list[Trial] = []
        self._ratios: dict[tuple, float] = {}

    def __call__(self, report: Callable[[Trial], None] | None = None) -> PrecisionPlan:
        """The plan; `trials` holds all that was measured on the way. report: called with each trial."""
        self.report = report or (lambda _: None)
        with ExitStack() as self.stack:
            self.base = {name: self._session(name, ()) for name in self.components}
            self.times = {name: self._time(name) for name in self.components if name != TEXT_ENCODER}
            blocks = quantisable(self.quantiser.models)
            nothing = self._try("fp32" if FORM[self.backend] == "cpu" else "fp16", {})
            whole = {name: self._try(name, {name: tuple(b)}) for name, b in blocks.items()}
            alone = {(n, b): self._try(f"{n} {b}", {n: (b,)}) for n, names in blocks.items() for b in names}
            chosen = [
                key
                for key, trial in alone.items()
                if min(trial.milliseconds, whole[key[0]].milliseconds) < nothing.milliseconds
            ]
            best = self._within_budget(chosen, alone, nothing)
        return PrecisionPlan(best.choice, self._origin(best))

    def _within_budget(self, chosen: list[tuple[str, str]], alone: dict, nothing: Trial) -> Trial:
        def price(key) -> float:
            trial = alone[key]
            saved = max(nothing.milliseconds - trial.milliseconds, 1e-3 * nothing.milliseconds)
            return trial.accuracy.drop / saved

        chosen = sorted(chosen, key=price)
        while True:
            # A component whose blocks together are no faster than FP32 does not go in.
            together = {name: tuple(b for n, b in chosen if n == name) for name, _ in chosen}
            choice = {name: blocks for name, blocks in together.items() if self._ratio(name, blocks) < 1}
            if not choice:
                return nothing
            trial = self._try(f"{sum(map(len, choice.values()))} blocks", choice)
            if trial.accuracy.drop <= self.budget:
                return trial
            chosen.remove(next(key for key in reversed(chosen) if key[0] in choice))

    def _try(self, label: str, choice: Choice) -> Trial:
        with ExitStack() as stack:
            changed = {name: stack.enter_context(self._open(name, blocks)) for name, blocks in choice.items()}
            accuracy = self.held_out.measure(Chain(self.quantiser.config, self.base | changed))
        spent = sum(t * self._ratio(name, choice.get(name, ())) for name, t in self.times.items())
        trial = Trial(label, choice, accuracy, 1e3 * spent)
        self.trials.append(trial)
        self.report(trial)
        return trial

    def _ratio(self, name: str, blocks: tuple[str, ...]) -> float:
        """The component's time with these blocks in INT8 over its time in FP32, both in one run, interleaved."""
        if not blocks:
            return 1.0
        if (name, blocks) not in self._ratios:
            inputs = self.quantiser.component_samples[name]
            with self._open(name, blocks) as session:
                ours, theirs = session_medians([session, self.base[name]], inputs)
            self._ratios[name, blocks] = ours / theirs
        return self._ratios[name, blocks]

    def _time(self, name: str) -> float:
        return session_medians([self.base[name]], self.quantiser.component_samples[name])[0]

    def _session(self, name: str, blocks: tuple[str, ...]) -> Session:
        return self.stack.enter_context(self._open(name, blocks))

    def _open(self, name: str, blocks: tuple[str, ...]) -> Session:
        path = self.folder / f"{name}-{'-'.join(blocks) or 'high'}.onnx"
        if not path.is_file():
            self.quantiser.write(name, blocks, FORM[self.backend], path)
        return self.open(self.components[name], path)

    def _origin(self, best: Trial) -> dict:
        return {
            "kind": "searched",
            "backend": self.backend,
            "budget": self.budget,
            "samples": best.accuracy.samples,
            "calibration": self.quantiser.options.__dict__,
            "chosen": best.to_dict(),
            "trials": [trial.to_dict() for trial in self.trials],
        }


def check_request(backend: str, budget: float) -> None:
    """RequestError when there is no plan to search for."""
    if backend not in FORM:
        raise RequestError(f"no plans for {backend}; choose from {', '.join(FORM)}")
    if budget < 0:
        raise RequestError(f"--max-miou-drop {budget}: must not be negative")


def opener(backend: str) -> Callable[[Component, Path], Session]:
    """What opens an ONNX file as a session of the backend; for TensorRT, by building an engine beside it."""
    if backend == "openvino":
        from cstm.runtime.backends.openvino import OpenVINOSession

        return OpenVINOSession
    if backend == "onnxruntime":
        from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession

        return OnnxRuntimeSession
    from cstm.export.engines import BuildEngine, EngineOptions, origin
    from cstm.runtime.backends.tensorrt import TensorRTSession

    def build(component: Component, path: Path) -> Session:
        engine = path.with_suffix(".engine")
        if not engine.is_file():
            BuildEngine(path, component, EngineOptions(backend), path.with_name("timing.cache"))(engine)
        return TensorRTSession(component, engine, module=backend, built_with=origin(backend), max_batch=4)

    return build


def worst_block(quantiser: Quantiser, plan: PrecisionPlan, held_out: HeldOut, folder: Path) -> tuple[str, float]:
    """The block of a plan that costs most on its own, as "component block", and by how much mean IoU drops."""
    open_ = opener("onnxruntime")
    components = contract(quantiser.config)
    costs = {}
    with ExitStack() as stack:
        base = {n: stack.enter_context(open_(c, quantiser.models[n])) for n, c in components.items()}
        for name, block in ((n, b) for n, blocks in plan.int8.items() for b in blocks):
            path = Path(folder) / f"{name}-{block}.onnx"
            quantiser.write(name, (block,), "cpu", path)
            with open_(components[name], path) as session:
                chain = Chain(quantiser.config, base | {name: session})
                costs[f"{name} {block}"] = held_out.measure(chain).drop
    return max(costs.items(), key=lambda item: item[1])
