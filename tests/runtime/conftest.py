"""Small videos."""

import av
import numpy as np
import pytest


def write_video(path, count=12, size=(48, 64), fps=10, codec="libx264", **options):
    """A video whose frames get brighter; frame i is near 20 * i mod 256."""
    with av.open(str(path), "w", options=options.pop("container", {})) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        if codec == "libx264":
            stream.gop_size = 4
        for i in range(count):
            image = np.full((*size, 3), 20 * i % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def video_file(tmp_path):
    return write_video(tmp_path / "clip.mp4")
