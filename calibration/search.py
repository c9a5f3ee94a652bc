"""The fastest choice of INT8 blocks whose masks stay within a budget, by measurement on the backend at hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cstm.calibration.held_out import Accuracy, HeldOut, check_budget
from cstm.calibration.plan import PrecisionPlan, quantisable
from cstm.calibration.quantiser import Quantiser
from cstm.errors import RequestError
from cstm.models.contract import TEXT_ENCODER, contract
from cstm.runtime.backends.open_model import OpenModel
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

    backend: of FORM. open_model: opens a component's ONNX file as a session of it. budget: largest drop of mean IoU.
    folder: for the models tried. report: called with each trial.
    """

    def __init__(
        self,
        quantiser: Quantiser,
        held_out: HeldOut,
        backend: str,
        open_model: OpenModel,
        budget: float,
        folder: Path,
        report: Callable[[Trial], None] = lambda _: None,
    ):
        check_request(backend, budget)
        self.quantiser, self.held_out, self.backend, self.open_model = quantiser, held_out, backend, open_model
        self.budget, self.folder, self.report = budget, Path(folder), report
        self.components = contract(quantiser.config)
        self.trials: list[Trial] = []
        self.base: dict[str, Session] = {}
        self.times: dict[str, float] = {}
        self._ratios: dict[tuple[str, tuple[str, ...]], float] = {}

    def __call__(self) -> PrecisionPlan:
        """The plan; `trials` holds all that was measured on the way."""
        with ExitStack() as stack:
            self.base = {name: stack.enter_context(self._open(name, ())) for name in self.components}
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

    def _within_budget(
        self, chosen: list[tuple[str, str]], alone: dict[tuple[str, str], Trial], nothing: Trial
    ) -> Trial:
        def price(key: tuple[str, str]) -> float:
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

    def _open(self, name: str, blocks: tuple[str, ...]) -> Session:
        path = self.folder / f"{name}-{'-'.join(blocks) or 'high'}.onnx"
        if not path.is_file():
            self.quantiser.write(name, blocks, FORM[self.backend], path)
        return self.open_model(self.components[name], path)

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
    check_budget(budget)
