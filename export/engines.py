"""ONNX -> TensorRT engine, by Polygraphy, for `tensorrt` (needs a GPU) and `tensorrt_rtx` (needs none).

Each build runs in a process of its own: Polygraphy takes one TensorRT a process, memory goes back at the end, and an
abort inside TensorRT becomes an error here. `python -m cstm.export.engines REQUEST.json` is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import Any

from cstm.errors import EngineError, MissingDependencyError
from cstm.files import atomic_path
from cstm.models.contract import Component
from cstm.packages import EXTRAS
from cstm.runtime.backends.tensorrt import MOST_LINES, PACKAGES, tensorrt_version, unsupported_gpu
from cstm.runtime.device_array import cuda_device
from cstm.runtime.manifest import BuiltWith


@dataclass(frozen=True)
class EngineOptions:
    """backend: "tensorrt" or "tensorrt_rtx". max_batch: largest batch; engines are tuned for 1. plugins: whether our
    kernels take over CMAM and LGFS, which needs Triton."""

    backend: str
    max_batch: int = 4
    plugins: bool = False


class BuildEngine:
    """Configured here, built by calling: one strongly typed engine, whose precision is what the ONNX types say."""

    def __init__(self, onnx_path: Path, component: Component, options: EngineOptions, timing_cache: Path):
        self.onnx_path, self.component = Path(onnx_path), component
        self.options, self.timing_cache = options, Path(timing_cache)

    def __call__(self, target: str | Path) -> None:
        """Build and write to `target`, atomically. EngineError with TensorRT's last lines when it fails."""
        with atomic_path(target) as temporary:
            request = asdict(self.options) | {
                "onnx": str(self.onnx_path.resolve()),
                "engine": str(temporary.resolve()),
                "timing_cache": str(self.timing_cache.resolve()),
                "profile": profile_of(self.component, self.options.max_batch),
            }
            done = run_apart("cstm.export.engines", self.options.backend, request)
            if done.returncode != 0 or not temporary.stat().st_size:
                said = _errors(done.stdout + done.stderr)
                raise EngineError(f"{self.component.name}: {self.options.backend} could not build the engine: {said}")


def profile_of(component: Component, max_batch: int) -> dict[str, list[tuple[int, ...]]]:
    """Each input's least, best and largest shape: engines are tuned for a batch of 1."""
    return {spec.name: [spec.with_batch(batch) for batch in (1, 1, max_batch)] for spec in component.inputs}


def run_apart(module: str, backend: str, request: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE REQUEST.json` in a folder of its own, where `backend` finds what it needs to build."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        # From elsewhere: in the repository's root, `cstm/` would hide the installed package.
        return subprocess.run(
            [sys.executable, "-m", module, str(file)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=folder,
            env=_environment(backend, Path(folder)),
        )


def _errors(output: str) -> str:
    """The last lines that TensorRT or Polygraphy call errors; where there are none, the last lines."""
    lines = output.strip().splitlines()
    errors = [line[4:] for line in lines if line.startswith(("[E] ", "[!] "))]
    return " | ".join((errors or lines)[-MOST_LINES:]) or "it ended without a word"


def _environment(backend: str, folder: Path) -> dict[str, str]:
    """For the building process: Triton compiles in it, whatever it does in this one, and TensorRT-RTX's parser finds
    plugins: it looks for its own library by a name that the wheel (1.7.1) lacks, and aborts where there is none."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    found = util.find_spec("tensorrt_rtx_libs") if backend == "tensorrt_rtx" else None
    folders = (found.submodule_search_locations if found else None) or []
    libraries = sorted(path for place in folders for path in Path(place).glob("libtensorrt_rtx.so.*"))
    if libraries:
        (folder / "libtensorrt_rtx.so").symlink_to(libraries[-1])
        paths = [str(folder), environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
    return environment


def engine_backend(requested: str = "auto") -> str | None:
    """The TensorRT to build for: "tensorrt" where it is installed with a GPU, else "tensorrt_rtx", else None.

    A named one must be usable: MissingDependencyError says what is missing.
    """
    problems = {backend: engine_problem(backend) for backend in PACKAGES}
    if requested == "auto":
        return next((backend for backend, problem in problems.items() if problem is None), None)
    if problems[requested]:
        raise MissingDependencyError(f"{requested}: {problems[requested]}")
    return requested


def built_with(backend: str, attention: str = "native") -> BuiltWith:
    """What an engine made here and now is tied to. MissingDependencyError where there is no such TensorRT."""
    version = tensorrt_version(backend)
    if version is None:
        raise MissingDependencyError(f"{backend}: {engine_problem(backend)}")
    return BuiltWith(version, cuda_device() if backend == "tensorrt" else None, attention)


def engine_problem(backend: str) -> str | None:
    """Why engines of `backend` cannot be built here; None where they can."""
    if util.find_spec(backend) is None:
        return f'{PACKAGES[backend]} is not installed; pip install "cstm[{EXTRAS[backend]}]"'
    if backend == "tensorrt" and cuda_device() is None:
        return "TensorRT builds on the GPU that it will run on, and there is none here; use --backend tensorrt_rtx"
    return unsupported_gpu(backend)


def _build(request: dict[str, Any]) -> None:
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1" if request["backend"] == "tensorrt_rtx" else "0"
    from polygraphy.backend.trt import (
        CreateConfig,
        EngineBytesFromNetwork,
        NetworkFromOnnxPath,
        Profile,
    )

    source = request["onnx"]
    if request["plugins"]:
        register_our_plugins(request["backend"])
        source = with_plugins(source)
    profile = Profile()
    for name, shapes in request["profile"].items():
        profile.add(name, *map(tuple, shapes))
    cache = request["timing_cache"]
    config = CreateConfig(profiles=[profile], load_timing_cache=cache if Path(cache).is_file() else None)
    network = NetworkFromOnnxPath(source, strongly_typed=True)
    engine = EngineBytesFromNetwork(network, config, save_timing_cache=cache)()
    Path(request["engine"]).write_bytes(bytes(engine))


def with_plugins(source: str) -> str:
    """The ONNX file with plugin nodes, in this process's folder, which its parent removes."""
    import onnx

    from cstm.graph.plugins import use_plugins

    onnx.save(use_plugins(onnx.load(source)), "plugins.onnx")
    return "plugins.onnx"


def register_our_plugins(backend: str) -> None:
    """With the TensorRT of this process."""
    if backend == "tensorrt":
        import tensorrt
        import tensorrt.plugin

        from cstm.kernels.plugin_aot import register_aot_plugins

        register_aot_plugins(tensorrt, tensorrt.plugin)
        return
    import tensorrt_rtx

    from cstm.kernels.plugin_v3 import register_plugins

    register_plugins(tensorrt_rtx)


if __name__ == "__main__":
    _build(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
