"""A checkpoint -> a bundle: ONNX per component, FP16, INT8, engines, each verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cstm.calibration.accuracy import MaskAccuracy
from cstm.calibration.audit import Finding, audit, kept_nodes
from cstm.calibration.held_out import check_budget
from cstm.calibration.inputs import component_inputs, real_samples
from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.quantiser import Quantiser
from cstm.calibration.samples import CalibrationOptions
from cstm.console import make_console
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.export import engines, publish, sources
from cstm.export.attention import BuildAttention, check_request
from cstm.export.choices import AUTO
from cstm.export.steps import Steps
from cstm.export.to_onnx import export_component
from cstm.export.verify import keep_if_right, verify_chain, verify_values
from cstm.files import atomic_path
from cstm.fingerprint import code_fingerprint
from cstm.graph.half import convert_to_fp16
from cstm.graph.macs import count_macs, reference_macs
from cstm.graph.qdq import FORMS
from cstm.models.checkpoint import load_checkpoint, read_metadata
from cstm.models.components import component_modules
from cstm.models.contract import MASK_LOGITS, chain_inputs, contract
from cstm.runtime.backends.torch import TorchSession
from cstm.runtime.bundle import CHECKPOINT, GOLDEN, TOKENIZER, WORD_VECTORS_FILE, engine_file, onnx_file
from cstm.runtime.chain import Chain
from cstm.runtime.device_array import cuda_device
from cstm.runtime.text import SentenceReader

SAMPLES = 3

DECIDES = ("models", "kernels", "data", "runtime", "graph", "calibration", "export")  # what a bundle holds


@dataclass(frozen=True)
class BuildOptions:
    """What to build. backend: "auto", "tensorrt", "tensorrt_rtx", or "none" for ONNX alone. attention: of
    `choices.ATTENTION`, for engines.

    calibration: what INT8's ranges are measured on. plan: which blocks are INT8 (None: all that can be). max_drop: of
    mean IoU against FP32, above which the build fails (None: each precision's own, see `calibration.accuracy`).
    """

    source: sources.Source
    output: Path
    precisions: tuple[str, ...] = ("fp32", "fp16")
    backend: str = "auto"
    attention: str = AUTO
    max_batch: int = 4
    force: bool = False
    calibration: CalibrationOptions = field(default_factory=CalibrationOptions)
    plan: PrecisionPlan | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if self.max_drop is not None:
            check_budget(self.max_drop)


class BuildBundle:
    """Configured here, built by calling. Work goes to a hidden folder beside the output, which makes it resumable;
    the output itself appears, or is replaced, only when every check has passed."""

    def __init__(self, options: BuildOptions, console: Console | None = None):
        self.options = options
        self.console = console or make_console(stderr=True)
        self.module = None if options.backend == "none" else engines.engine_module(options.backend)
        check_request(options.attention, self.module)
        publish.check_replaceable(options.output)
        self.fingerprint = options.source.fingerprint()
        self.folder = options.output.parent / f".{options.output.name}.work"
        self.steps = Steps(self.folder, options.force)
        self.code = code_fingerprint(*DECIDES), publish.tools()
        self.rows: list[dict] = []
        self.macs: dict[str, int] = {}
        self.files = [CHECKPOINT, TOKENIZER, GOLDEN]

    def __call__(self) -> Path:
        """Build; the output's path. CSTMError says what failed; the old output then stays."""
        self._step("checkpoint", {"source": self.fingerprint}, [CHECKPOINT], self._write_checkpoint)
        self.config, self.provenance = read_metadata(self.folder / CHECKPOINT)
        self.components = contract(self.config)
        with self._progress() as self.progress:
            self.task = self.progress.add_task("", total=4 + len(self.components) * self._columns())
            self._make_text_files()
            self._make_samples()
            for name in self.components:
                self._make_onnx(name)
            findings = self._audit() if "fp16" in self.options.precisions else []
            if "fp16" in self.options.precisions:
                for name in self.components:
                    self._make_fp16(name, [Finding(**f) for f in findings if f["component"] == name])
            if "int8" in self.options.precisions:
                self.plan.check(self.fp32_models)
                for name in self.components:
                    self._make_int8(name)
            parity = [self._check_chain(precision) for precision in self.options.precisions]
            accuracy = self._check_accuracy()
            self._forget_reference()
            built = [self._make_engine(p, n) for p in self.options.precisions for n in self.components if self.module]
        manifest = publish.manifest(
            self.config,
            self.provenance,
            self.steps,
            self.files,
            max_batch=self.options.max_batch,
            precisions=list(self.options.precisions),
            engines=built,
            built=self.rows,
            parity=parity,
            accuracy=accuracy,
            kept_in_fp32=findings,
            plan=self.plan.to_dict() if "int8" in self.options.precisions else None,
            calibration=asdict(self.options.calibration) if "int8" in self.options.precisions else None,
        )
        publish.publish(self.folder, self.files, manifest, self.options.output)
        make_console().print(publish.table(self.rows, reference_macs(self.config)))
        if self.module and self.options.attention == AUTO and cuda_device() is None:
            self.console.print(
                "no GPU here to measure plugins on: built with TensorRT's own layers, --attention native"
            )
        if not self.module and self.options.backend == "auto":
            self.console.print('no TensorRT here, so no engines; pip install "cstm\\[rtx]" builds them without a GPU')
        return self.options.output

    @cached_property
    def reference(self) -> Chain:
        """The PyTorch components as a chain; loaded only when a step needs it."""
        modules = component_modules(load_checkpoint(self.folder / CHECKPOINT))
        return Chain(self.config, {n: TorchSession(self.components[n], m) for n, m in modules.items()})

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Real inputs of the chain, a few samples stacked."""
        with np.load(self.folder / "samples.npz") as arrays:
            return dict(arrays)

    @cached_property
    def component_samples(self) -> dict[str, dict[str, np.ndarray]]:
        """Real inputs of every component."""
        return dict(component_inputs(self.reference, self.samples))

    def _forget_reference(self) -> None:
        """Engines need their memory for themselves."""
        for name in ("reference", "samples", "component_samples", "quantiser"):
            self.__dict__.pop(name, None)

    def _columns(self) -> int:
        int8_engines = "int8" in self.options.precisions and self.module is not None
        extra = ("fp32" not in self.options.precisions) + int8_engines
        return len(self.options.precisions) * (2 if self.module else 1) + extra

    def _progress(self) -> Progress:
        columns = (SpinnerColumn(), TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn())
        quiet = not self.console.is_terminal
        return Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True, disable=quiet)

    def _step(self, name: str, inputs: dict, outputs: list[str], action: Callable[[], dict | None]) -> dict:
        return self.steps.run(name, inputs | {"code": self.code}, outputs, action)

    def _shown_step(self, label: str, *args) -> dict:
        self.progress.update(self.task, description=label)
        info = self._step(*args)
        self.progress.advance(self.task)
        if not self.console.is_terminal:
            ran = args[0] in self.steps.ran
            self.console.print(f"{label}: {info['seconds']} s" if ran else f"{label}: unchanged", highlight=False)
        return info

    def _write_checkpoint(self) -> None:
        with self.console.status("loading the checkpoint"):
            self.options.source.write_checkpoint(self.folder / CHECKPOINT)

    def _make_text_files(self) -> None:
        source, outputs = self.options.source, [TOKENIZER]
        if self.config.text == "gru":
            outputs.append(WORD_VECTORS_FILE)
            self.files.append(WORD_VECTORS_FILE)
        inputs = {"text": source.text_fingerprint(), "checkpoint": self.steps.digest(CHECKPOINT)}
        write = lambda: source.write_text_files(self.config, self.provenance, self.folder)  # noqa: E731
        self._shown_step("tokenizer", "text", inputs, outputs, write)

    def _make_samples(self) -> None:
        inputs = {"checkpoint": self.steps.digest(CHECKPOINT), "text": self.steps.digest(TOKENIZER)}
        if self.config.text == "gru":
            inputs["vectors"] = self.steps.digest(WORD_VECTORS_FILE)
        self._shown_step("real inputs", "samples", inputs, ["samples.npz", GOLDEN], self._write_samples)

    def _write_samples(self) -> None:
        samples = real_samples(self.config, self.reader, DEMO_VIDEO, list(DEMO_SENTENCES), SAMPLES)
        golden = {spec.name: samples[spec.name][:1] for spec in chain_inputs(self.config)}
        golden[MASK_LOGITS] = self.reference(golden)
        for name, arrays in (("samples.npz", samples), (GOLDEN, golden)):
            with atomic_path(self.folder / name) as temporary:
                np.savez(temporary, **arrays)

    def _make_onnx(self, name: str) -> None:
        file = onnx_file(name, "fp32")
        inputs = {"checkpoint": self.steps.digest(CHECKPOINT)}
        info = self._shown_step(f"{name} to ONNX", file, inputs, [file], lambda: self._write_onnx(name, file))
        self.macs[name] = info["macs"]
        if "fp32" in self.options.precisions:
            self._add_row(name, "fp32", "onnx", file, info)

    def _write_onnx(self, name: str, file: str) -> dict:
        component, session = self.components[name], self.reference.sessions[name]
        path = self.folder / file
        export_component(session.module, component, path)
        compare = lambda: verify_values(path, component, session, "fp32", vocabulary=self.vocabulary)  # noqa: E731
        return keep_if_right(path, component, compare) | {"macs": count_macs(onnx.load(path))}

    @property
    def vocabulary(self) -> int:
        """Ids below this are safe to draw for the text encoder."""
        return max(self.config.vocabulary, 2)

    def _audit(self) -> list[dict]:
        """What FP16 cannot hold, by the ranges on the calibration samples."""
        inputs = {"onnx": self._fp32_digests(), "calibration": asdict(self.options.calibration)}
        find = lambda: {"findings": [asdict(f) for f in audit(self.quantiser.ranges, self.fp32_models)]}  # noqa: E731
        return self._shown_step("ranges", "ranges", inputs, [], find)["findings"]

    def _fp32_digests(self) -> dict[str, str]:
        return {name: self.steps.digest(onnx_file(name, "fp32")) for name in self.components}

    def _make_fp16(self, name: str, findings: list[Finding]) -> None:
        source, file = onnx_file(name, "fp32"), onnx_file(name, "fp16")
        keep = kept_nodes(findings, onnx.load(self.folder / source, load_external_data=False).graph)
        inputs = {"onnx": self.steps.digest(source), "samples": self.steps.digest("samples.npz"), "keep": keep}
        write = lambda: self._write_fp16(name, source, file, keep)  # noqa: E731
        info = self._shown_step(f"{name} to FP16", file, inputs, [file], write)
        self._add_row(name, "fp16", "onnx", file, info | {"macs": self.macs[name]})

    def _write_fp16(self, name: str, source: str, file: str, keep: list[str]) -> dict:
        component, session, real = self.components[name], self.reference.sessions[name], self.component_samples[name]
        path = self.folder / file
        model = convert_to_fp16(onnx.load(self.folder / source), real, keep)
        with atomic_path(path) as temporary:
            onnx.save(model, temporary)
        return keep_if_right(path, component, lambda: verify_values(path, component, session, "fp16", real))

    @cached_property
    def fp32_models(self) -> dict[str, Path]:
        """The FP32 ONNX of every component."""
        return {name: self.folder / onnx_file(name, "fp32") for name in self.components}

    @cached_property
    def reader(self) -> SentenceReader:
        """The reader of sentences."""
        vectors = np.load(self.folder / WORD_VECTORS_FILE) if self.config.text == "gru" else None
        return SentenceReader(self.config, self.folder / TOKENIZER, vectors)

    @cached_property
    def quantiser(self) -> Quantiser:
        """Writes INT8 models; measures ranges on first use."""
        total = self.options.calibration.samples
        report = lambda done: self.progress.update(self.task, description=f"ranges, sample {done} of {total}")  # noqa: E731
        return Quantiser(self.config, self.fp32_models, self.reader, self.options.calibration, report)

    @cached_property
    def plan(self) -> PrecisionPlan:
        """Which blocks are INT8."""
        return self.options.plan or PrecisionPlan.everything(self.fp32_models)

    def _make_int8(self, name: str) -> None:
        blocks = self.plan.int8.get(name, ())
        inputs = {"onnx": self._fp32_digests(), "calibration": asdict(self.options.calibration), "blocks": list(blocks)}
        for form in ("cpu", "tensorrt") if self.module else ("cpu",):
            file = onnx_file(name, FORMS[form].precision)
            write = lambda form=form, file=file: self._write_int8(name, blocks, form, file)  # noqa: E731
            info = self._shown_step(f"{name} to INT8 ({form})", file, inputs, [file], write)
            self._add_row(name, FORMS[form].precision, "onnx", file, info | {"macs": self.macs[name]})

    def _write_int8(self, name: str, blocks, form: str, file: str) -> dict:
        component, session, real = self.components[name], self.reference.sessions[name], self.component_samples[name]
        path = self.folder / file
        made = self.quantiser.write(name, blocks, form, path)
        without = FORMS[form].wrong_in_onnxruntime
        compare = lambda: verify_values(path, component, session, "int8", real, without=without)  # noqa: E731
        return keep_if_right(path, component, compare) | made

    def _check_accuracy(self) -> list[dict]:
        """Masks of every precision on held-out clips; CSTMError where one costs more than the budget."""
        judged = [p for p in self.options.precisions if p != "fp32"]
        check = MaskAccuracy(self.config, self.provenance, self.reader, self.options.calibration.data)
        models = {p: {n: self.folder / onnx_file(n, p) for n in self.components} for p in ("fp32", *judged)}
        digests = {p: {n: self.steps.digest(onnx_file(n, p)) for n in self.components} for p in models}
        info = self._shown_step(
            "masks on held-out clips",
            "accuracy",
            {"models": digests, "data": self.options.calibration.data, "max_drop": self.options.max_drop},
            [],
            lambda: {"rows": check(models, self.options.max_drop, lambda: (self.quantiser, self.plan))},
        )
        return info["rows"]

    def _check_chain(self, precision: str) -> dict:
        models = {name: self.folder / onnx_file(name, precision) for name in self.components}
        digests = {name: self.steps.digest(onnx_file(name, precision)) for name in self.components}
        inputs = digests | {"golden": self.steps.digest(GOLDEN)}
        self.progress.update(self.task, description=f"the chain in {precision}")
        check = lambda: verify_chain(self.config, models, self.folder / GOLDEN, precision)  # noqa: E731
        return {"backend": "onnxruntime", "precision": precision, **self._step(f"chain {precision}", inputs, [], check)}

    def _make_engine(self, precision: str, name: str) -> dict:
        made_from = FORMS["tensorrt"].precision if precision == "int8" else precision
        source, file = onnx_file(name, made_from), engine_file(name, precision, self.module)
        made_by = engines.origin(self.module)
        build = BuildAttention(
            self.components[name],
            self.module,
            self.options.max_batch,
            self.options.attention,
            self.folder / f"timing_{self.module}.cache",
            lambda: {key: array[:1] for key, array in self.component_samples[name].items()},
        )
        inputs = {"onnx": self.steps.digest(source), "max_batch": self.options.max_batch} | made_by
        inputs["attention"] = self.options.attention, cuda_device()
        label = f"{name} {precision} {self.module} engine"
        info = self._shown_step(label, file, inputs, [file], lambda: build(self.folder / source, self.folder / file))
        self._add_row(name, precision, self.module, file, info)
        if "attention_note" in info:
            self.console.print(info["attention_note"], highlight=False)
        entry = {"component": name, "precision": precision, "module": self.module, "file": file}
        return entry | made_by | {"attention": info["attention"]}

    def _add_row(self, name: str, precision: str, kind: str, file: str, info: dict) -> None:
        self.files.append(file)
        row = {"component": name, "precision": precision, "kind": kind, "bytes": (self.folder / file).stat().st_size}
        self.rows.append(row | info)
