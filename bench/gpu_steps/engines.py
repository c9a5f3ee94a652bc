"""Are TensorRT's engines of the linked network, in one precision and form, right on this GPU, and how fast?

Where TensorRT-RTX is installed they are built without a GPU too; then that is all.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from cstm.bench.gpu_steps.bundle import opened
from cstm.bench.gpu_steps.chains import compare_whole, frame_time, judged
from cstm.bench.gpu_steps.place import Found, Place, Skipped, tell
from cstm.export.attention import BuildAttention
from cstm.export.choices import PLUGIN
from cstm.export.engines import EngineOptions, engine_backend, engine_problem
from cstm.export.open_engine import open_engine
from cstm.graph.qdq import stored_as
from cstm.models.contract import FRAME_GRAPH, program
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.session import Session
from cstm.runtime.tensorrt_library import PACKAGES
from cstm.runtime.tensorrt_session import TensorRTSession

Built = dict[str, tuple[Path, EngineOptions]]  # by part


def run(place: Place, precision: str, form: str) -> Found:
    """form: NATIVE or PLUGIN. Skipped where no TensorRT builds here, or the bundle has no models in `precision`."""
    bundle = opened(place)
    backend = engine_backend()
    if backend is None:
        raise Skipped("; ".join(f"{name}: {engine_problem(name)}" for name in PACKAGES))
    if not bundle.holds(FRAME_GRAPH, stored_as(precision, "tensorrt")):
        raise Skipped(f"the bundle has no {precision} for engines: `cstm build --precision fp32 fp16 int8`")
    start = time.perf_counter()
    built = build(bundle, place.folder, EngineOptions(backend, bundle.max_batch), precision, form)
    figures = {
        "backend": backend,
        "built_in_s": round(time.perf_counter() - start, 1),
        "megabytes": {name: round(path.stat().st_size / 1e6, 1) for name, (path, _) in built.items()},
    }
    if place.dry:
        return Found(f"{backend}: built in {figures['built_in_s']} s; not run, as there is no GPU", figures)
    known = program(bundle.config)
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(open_engine(known[name], *of)) for name, of in built.items()}
        chain = Chain(bundle.config, sessions)
        tell("comparing")
        rows = [compare_whole(bundle, chain, precision)]
        tell("timing")
        frame_ms = {f"{backend} {precision} {form}": frame_time(bundle, chain, place)}
    found = judged(rows, frame_ms, **figures)
    return replace(found, said=f"{found.said}; {_graphs(sessions[FRAME_GRAPH])}")


def _graphs(session: Session) -> str:
    assert isinstance(session, TensorRTSession)
    problem = session.graphs.problem
    return f"no CUDA graphs: {problem}" if problem else "replayed as a CUDA graph"


def build(bundle: Bundle, folder: Path, options: EngineOptions, precision: str, form: str) -> Built:
    """An engine of each part of the linked network."""
    made: Built = {}
    for name, component in program(bundle.config).items():
        tell(f"building {name} {precision} {form}")
        path = folder / f"{name}_{precision}_{form}.engine"
        build = BuildAttention(component, options, form, folder / "timing.cache", dict)
        told = build(bundle.model(name, stored_as(precision, "tensorrt")), path)
        made[name] = path, replace(options, plugins=told["attention"] == PLUGIN)
    return made
