"""Which packages are installed, and which of our extras brings what is not."""

from __future__ import annotations

from importlib import metadata

# By module.
EXTRAS = {
    "onnxruntime": "cpu",
    "openvino": "cpu",
    "tensorrt_rtx": "rtx",
    "tensorrt": "gpu",
    "cuda": "gpu",
    "triton": "kernels",
} | dict.fromkeys(("h5py", "scipy", "cv2", "tensorboard", "matplotlib", "pycocotools"), "train")


def installed_version(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
