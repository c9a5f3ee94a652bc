"""A camera on this machine's loopback, for tests and soaks: MPEG-TS over HTTP or UDP, at an even pace.

Frame number n is grey, of level 10 + n % 200, or the next one of a video in a loop. Run as
`python -m cstm.bench.camera URL COUNT`, it prints a line once it can be opened; `--help` says the rest.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import time
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from cstm.bench.path import images_of

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
FPS = 25
H264 = {"preset": "ultrafast", "tune": "zerolatency", "g": "12"}


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description="A camera on this machine's loopback.")
    parser.add_argument("url", help="http://127.0.0.1:PORT, which is served once, or udp://127.0.0.1:PORT")
    parser.add_argument("count", type=int, help="frames")
    parser.add_argument("--fps", type=float, default=FPS, help="sent in a second, whatever their time stamps say")
    parser.add_argument("--size", default="96x64", help="WIDTHxHEIGHT of grey frames")
    parser.add_argument("--video", help="send its frames, in a loop")
    parser.add_argument("--silent-after", type=int, help="send so many frames, and then nothing, for ever")
    parser.add_argument("--rubbish-after", type=int, help="send so many frames, and then noise")
    arguments = parser.parse_args()
    if arguments.url.startswith("udp"):
        print("ready", flush=True)
        _send(arguments, arguments.url)
        return
    port = int(arguments.url.rpartition(":")[2].rstrip("/"))
    with socket.create_server(("127.0.0.1", port)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    with connection, connection.makefile("wb", buffering=0) as out:
        connection.recv(4096)
        out.write(HEAD)
        _send(arguments, out)


def _send(arguments: argparse.Namespace, out: Any) -> None:
    images = _images(arguments)
    first = next(images)
    with av.open(out, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=H264)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        start = time.monotonic()
        for number, image in enumerate(itertools.chain([first], images)):
            if number == arguments.count:
                return
            if number == arguments.silent_after:
                time.sleep(3600)
            time.sleep(max(0, start + number / arguments.fps - time.monotonic()))
            if arguments.rubbish_after is not None and number >= arguments.rubbish_after:
                out.write(np.random.default_rng(number).bytes(4000))
            else:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))


def _images(arguments: argparse.Namespace) -> Iterator[np.ndarray]:
    if arguments.video:
        yield from itertools.cycle(images_of(arguments.video))
    width, height = map(int, arguments.size.split("x"))
    for number in itertools.count():
        yield np.full((height, width, 3), 10 + number % 200, np.uint8)


if __name__ == "__main__":
    main()
