"""Packaging. Each top-level folder is a sub-package of `cstm`: `cstm.export` is `export/`, and so on."""

import filecmp
import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# What an earlier build left there would be installed again, deleted modules included.
BUILD = Path("build/python")
shutil.rmtree(BUILD, ignore_errors=True)

# A bundle that the wheel carries, from `make wheel`. Its checkpoint is the package's own, models/weights.
SHIPPED = os.environ.get("CSTM_SHIPPED")


class BuildWithBundle(build_py):
    """Puts the bundle beside the code that runs it."""

    def run(self):
        """As setuptools has it, and the bundle."""
        super().run()
        if SHIPPED and not self.editable_mode:
            bundle, own = Path(SHIPPED), Path("models/weights/tiny.safetensors")
            twice = filecmp.cmp(bundle / "checkpoint.safetensors", own, shallow=False)
            left_out = shutil.ignore_patterns("checkpoint.safetensors") if twice else None
            shutil.copytree(bundle, Path(self.build_lib, "cstm/runtime/shipped"), ignore=left_out, dirs_exist_ok=True)


FOLDERS = {"cstm": "cstm"} | {
    f"cstm.{name}": name.replace(".", "/")
    for name in (
        "models",
        "models.weights",
        "data",
        "data.sprites",
        "training",
        "runtime",
        "runtime.backends",
        "runtime.live",
        "export",
        "calibration",
        "graph",
        "commands",
        "kernels",
        "bench",
        "bench.gpu_steps",
    )
}
RUNTIME = ["numpy>=2.1,<3", "tokenizers>=0.21,<1", "av>=14,<19", "pillow>=11", "rich>=13"]
CPU = ["onnxruntime>=1.20", "openvino>=2025.0"]
CUDA = ["cuda-core>=1.0,<2", "cuda-python>=13,<14"]
RTX = ["tensorrt-rtx-cu13==1.7.1.116", *CUDA]
KERNELS = ["triton>=3.7,<4"]
# Its extras bring the CUDA libraries and cuDNN (and cuBLAS with it) that PyTorch would bring, for its own CUDA.
GPU = ["tensorrt>=10.13", "onnxruntime-gpu[cuda,cudnn]>=1.21", *CUDA, *KERNELS]
TORCH = ["torch>=2.10", "safetensors>=0.5", "transformers>=5,<6"]
EXPORT = [
    *TORCH,
    "opencv-python-headless>=4.10",
    "onnx>=1.19",
    "onnxscript>=0.5",
    "onnxslim>=0.1.70",
    "onnx-graphsurgeon>=0.6.1",
    "polygraphy==0.53.6",
    # ModelOpt's own [onnx] extra would put onnxruntime-gpu and CuPy over the CPU build; these are what it needs of it.
    "nvidia-modelopt==0.47.0",
    "onnxconverter-common>=1.16",
    "ml_dtypes>=0.5",
    "cppimport>=22.8",
    "lief>=0.16",
]
TRAIN = [
    *TORCH,
    "opencv-python-headless>=4.10",
    "h5py>=3.11",
    "scipy>=1.14",
    "tensorboard>=2.18",
    "matplotlib>=3.9",
    "pycocotools>=2.0.8",
]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.6,<4",
    "hypothesis>=6",
    "ruff==0.17.6",
    "mypy>=2,<3",
    "import-linter>=2.6,<3",
    "tensorrt-lean-cu13==11.4.0.106",  # the runtime alone: its names and signatures
    *KERNELS,
]
DOCS = ["mkdocs-material>=9.7,<10", "mkdocstrings[python]>=1,<2"]

setup(
    name="cstm",
    options={"build": {"build_base": str(BUILD)}},
    version="0.1.0",
    description="From a language-queried video segmentation checkpoint (CSTM) to proved, measured engines and masks",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    package_dir=FOLDERS,
    packages=list(FOLDERS),
    cmdclass={"build_py": BuildWithBundle},
    package_data={
        "cstm": ["py.typed"],
        "cstm.models.weights": ["tiny.safetensors"],
        "cstm.data": ["demo/*", "words.txt", "art/*.md", "art/*/*"],
    },
    install_requires=RUNTIME,
    extras_require={
        "cpu": CPU,
        "rtx": RTX,
        "gpu": GPU,
        "kernels": KERNELS,
        "export": EXPORT,
        "train": TRAIN,
        "test": TEST,
        "docs": DOCS,
    },
    entry_points={"console_scripts": ["cstm = cstm.commands.main:main"]},
)
