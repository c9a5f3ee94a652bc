"""A checkpoint -> a bundle: ONNX per component, FP16, INT8, engines, each verified."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console

from cstm.calibration.held_out import check_budget
from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.samples import CalibrationOptions
from cstm.console import make_console
from cstm.data.open import SPRITES
from cstm.errors import RequestError
from cstm.export import publish
from cstm.export.attention import check_request
from cstm.export.build_display import BuildDisplay
from cstm.export.checks import check_chain, check_masks, fit_presence
from cstm.export.choices import AUTO
from cstm.export.engines import EngineOptions, engine_backend
from cstm.export.link_frame import LinkFrame
from cstm.export.made import Made, table
from cstm.export.make_engines import MakeEngines
from cstm.export.make_models import MakeModels
from cstm.export.reference import SAMPLES, Reference
from cstm.export.sources import Source
from cstm.export.steps import Steps, held
from cstm.fingerprint import code_fingerprint
from cstm.graph.macs import reference_macs
from cstm.models.config import RANDOM_WEIGHTS
from cstm.models.contract import parts
from cstm.runtime.bundle import CHECKPOINT, GOLDEN
from cstm.runtime.device_array import cuda_device
from cstm.runtime.manifest import EngineRecord, FileRecord, Manifest

DECIDES = ("models", "kernels", "data", "runtime", "graph", "calibration", "export")  # what a bundle holds


@dataclass(frozen=True)
class BuildOptions:
    """What to build. backend: "auto", "tensorrt", "tensorrt_rtx", or "none" for ONNX alone. attention: of
    `choices.ATTENTION`, for engines. hardware_compatible, version_compatible: as in `BuiltWith`.

    calibration: what INT8's ranges are measured on. plan: which blocks are INT8 (None: all that can be). max_drop: of
    mean IoU against FP32, above which the build fails (None: each precision's own, see `calibration.accuracy`).
    """

    source: Source
    output: Path
    precisions: tuple[str, ...] = ("fp32", "fp16")
    backend: str = "auto"
    attention: str = AUTO
    max_batch: int = 4
    hardware_compatible: bool = False
    version_compatible: bool = False
    force: bool = False
    calibration: CalibrationOptions = field(default_factory=CalibrationOptions)
    plan: PrecisionPlan | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if self.max_drop is not None:
            check_budget(self.max_drop)


class BuildBundle:
    """Configured here, built by calling. Work goes to a hidden folder beside the output, which makes it resumable;
    the output itself appears, or is replaced, only when every check has passed.

    engines: what engines are built, or None. steps: what was done in the hidden folder.
    """

    def __init__(self, options: BuildOptions, console: Console | None = None):
        self.options = options
        self.console = console or make_console(stderr=True)
        self.engines = _engine_options(options)
        check_request(options.attention, self.engines)
        publish.check_replaceable(options.output)
        work = options.output.parent / f".{options.output.name}.work"
        code = [code_fingerprint(*DECIDES), publish.tools()]
        self.display = BuildDisplay(self.console)
        self.steps = Steps(work, options.force, code, self.display)

    def __call__(self) -> Path:
        """Build; the output's path. CSTMError says what failed; the old output then stays."""
        with held(self.steps.folder), self.display:
            reference = self._make_reference()
            manifest, made = self._make_files(reference)
            publish.publish(self.steps.folder, manifest, self.options.output)
        make_console().print(table(made, reference_macs(reference.config)))
        self._tell_of_engines(made)
        return self.options.output

    def _make_reference(self) -> Reference:
        """The checkpoint, its words, and real inputs."""
        source, steps = self.options.source, self.steps
        write = partial(source.write_checkpoint, steps.folder / CHECKPOINT)
        steps.run("checkpoint", {"source": source.fingerprint()}, [CHECKPOINT], write, "checkpoint")
        reference = Reference(steps.folder)
        inputs = {"text": source.text_fingerprint(), "checkpoint": steps.digest(CHECKPOINT)}
        write = partial(source.write_text_files, reference.config, reference.provenance, steps.folder)
        steps.run("text", inputs, reference.words, write, "tokenizer")
        inputs = {name: steps.digest(name) for name in (CHECKPOINT, *reference.words)}
        steps.run("samples", inputs, [SAMPLES, GOLDEN], reference.write_samples, "real inputs")
        return reference

    def _make_files(self, reference: Reference) -> tuple[Manifest, list[Made]]:
        """Models and engines, checked; the manifest that tells of them, and their rows."""
        options, names, precisions = self.options, list(reference.components), self.options.precisions
        trained = reference.provenance["kind"] not in RANDOM_WEIGHTS
        fits = trained and options.calibration.data == SPRITES  # no other set says who is absent
        self.display.expect(self._count(len(names)) + fits)
        models = MakeModels(self.steps, reference, options.calibration, options.plan)
        made = [row for row in map(models.fp32, names) if row.precision in precisions]
        plan = models.plan.to_dict() if "int8" in precisions else None
        findings = models.findings() if "fp16" in precisions else []
        if "fp16" in precisions:
            made += [models.fp16(name, findings) for name in names]
        if "int8" in precisions:
            made += [models.int8(name, form) for name in names for form in self._forms("int8")]
        link = LinkFrame(self.steps, reference)
        linked = [link(p, form) for p in dict.fromkeys(("fp32", *precisions)) for form in self._forms(p)]
        made += [row for row in linked if row.precision != "fp32" or "fp32" in precisions]
        parity = [check_chain(self.steps, reference, p, whole) for p in precisions for whole in (False, True)]
        accuracy = check_masks(self.steps, reference, models, [p for p in precisions if p != "fp32"], options.max_drop)
        presence = fit_presence(self.steps, reference) if fits else None
        del models
        reference.forget()  # engines need their memory for themselves
        engines = self._make_engines(reference)
        made += [row for row, _ in engines]
        files = [CHECKPOINT, GOLDEN, *reference.words, *(row.file for row in made)]
        return Manifest(
            reference.config,
            {**reference.provenance, "trained": trained},
            options.max_batch,
            precisions,
            tuple(record for _, record in engines),
            {name: self._file(name) for name in sorted(files)},
            presence=presence,
            built=[row.to_dict() for row in made],
            parity=parity,
            accuracy=accuracy,
            kept_in_fp32=[asdict(finding) for finding in findings],
            plan=plan,
            calibration=asdict(options.calibration) if plan else None,
            tools=publish.tools(),
        ), made

    def _make_engines(self, reference: Reference) -> list[tuple[Made, EngineRecord]]:
        if not self.engines:
            return []
        make = MakeEngines(self.steps, reference, self.engines, self.options.attention)
        return [make(name, precision) for precision in self.options.precisions for name in parts(reference.config)]

    def _forms(self, precision: str) -> tuple[str, ...]:
        """In which the models of a precision are made: INT8 has two."""
        return ("cpu", "tensorrt") if self.engines and precision == "int8" else ("cpu",)

    def _file(self, name: str) -> FileRecord:
        return FileRecord(self.steps.digest(name), (self.steps.folder / name).stat().st_size)

    def _count(self, components: int) -> int:
        """How many steps are shown."""
        precisions = self.options.precisions
        stored = sum(len(self._forms(precision)) for precision in {"fp32", *precisions})
        engines = (components + 1) * len(precisions) if self.engines else 0
        return 4 + ("fp16" in precisions) + components * stored + stored + engines

    def _tell_of_engines(self, made: list[Made]) -> None:
        for row in made:
            if row.attention_note:
                self.display.tell(row.attention_note)
        if self.engines and self.options.attention == AUTO and cuda_device() is None:
            self.display.tell("no GPU here to measure plugins on: built with TensorRT's own layers, --attention native")
        if not self.engines and self.options.backend == "auto":
            self.display.tell('no TensorRT here, so no engines; pip install "cstm\\[rtx]" builds them without a GPU')


def _engine_options(options: BuildOptions) -> EngineOptions | None:
    """Of the engines that are built; None where none are. RequestError where something is asked of none."""
    backend = None if options.backend == "none" else engine_backend(options.backend)
    if backend is None:
        if options.hardware_compatible or options.version_compatible:
            raise RequestError("--hardware-compatible, --version-compatible: no engines are built; see --backend")
        return None
    return EngineOptions(
        backend,
        options.max_batch,
        hardware_compatible=options.hardware_compatible,
        version_compatible=options.version_compatible,
    )
