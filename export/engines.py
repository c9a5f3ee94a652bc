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
from cstm.export.choices import NATIVE, PLUGIN
from cstm.files import atomic_path
from cstm.models.contract import Component
from cstm.packages import EXTRAS
from cstm.runtime.device_array import cuda_device
from cstm.runtime.manifest import BuiltWith
from cstm.runtime.tensorrt_library import MOST_LINES, PACKAGES, tensorrt_version, unsupported_gpu


@dataclass(frozen=True)
class EngineOptions:
    """backend: "tensorrt" or "tensorrt_rtx". max_batch: largest batch. plugins: whether our kernels take over CMAM and
    LGFS, which needs Triton. hardware_compatible, version_compatible: as in `BuiltWith`, for "tensorrt" alone."""

    backend: str
    max_batch: int = 4
    plugins: bool = False
    hardware_compatible: bool = False
    version_compatible: bool = False


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
                "profiles": profiles_of(self.component, self.options.max_batch),
            }
            done = run_apart("cstm.export.engines", self.options.backend, request)
            if done.returncode != 0 or not temporary.stat().st_size:
                said = _errors(done.stdout + done.stderr)
                raise EngineError(f"{self.component.name}: {self.options.backend} could not build the engine: {said}")


def profiles_of(component: Component, max_batch: int) -> list[dict[str, list[tuple[int, ...]]]]:
    """Each profile's least, best and largest shape by input: one of fixed shapes, for a single sentence, and one for
    all other batches."""
    batches = [(1, 1, 1), (2, 2, max_batch)][: 1 if max_batch == 1 else 2]
    return [{spec.name: [spec.with_batch(batch) for batch in three] for spec in component.inputs} for three in batches]


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


def built_with(options: EngineOptions) -> BuiltWith:
    """What an engine made here and now is tied to. MissingDependencyError where there is no such TensorRT."""
    version = tensorrt_version(options.backend)
    if version is None:
        raise MissingDependencyError(f"{options.backend}: {engine_problem(options.backend)}")
    gpu = cuda_device() if options.backend == "tensorrt" else None
    attention = PLUGIN if options.plugins else NATIVE
    return BuiltWith(version, gpu, attention, options.hardware_compatible, options.version_compatible)


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
        PostprocessConfig,
        Profile,
    )

    source = request["onnx"]
    if request["plugins"]:
        register_our_plugins(request["backend"])
        source = with_plugins(source)
    profiles = []
    for shapes in request["profiles"]:
        profile = Profile()
        for name, three in shapes.items():
            profile.add(name, *map(tuple, three))
        profiles.append(profile)
    cache = request["timing_cache"]
    timing = {"load_timing_cache": cache} if Path(cache).is_file() else {}
    config = PostprocessConfig(CreateConfig(profiles=profiles, **timing), lambda *made: set_flags(request, made[-1]))
    network = NetworkFromOnnxPath(source, strongly_typed=True)
    engine = EngineBytesFromNetwork(network, config, save_timing_cache=cache)()
    Path(request["engine"]).write_bytes(bytes(engine))


def set_flags(request: dict[str, Any], config: Any) -> None:
    """What Polygraphy has no words for in every TensorRT. config: an IBuilderConfig."""
    if request["backend"] == "tensorrt_rtx":
        import tensorrt_rtx as trt

        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # else its runs may not be recorded as CUDA graphs
        return
    import tensorrt as trt

    if request["version_compatible"]:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if request["hardware_compatible"]:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


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
