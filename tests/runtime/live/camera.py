"""A camera for tests, in a process of its own: MPEG-TS over HTTP or UDP.

Frame number n is grey, of level 10 + n % 200. `python camera.py --help` says the rest.
"""

import argparse
import socket
import time

import av
import numpy as np

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="http://127.0.0.1:PORT, which is served once, or udp://127.0.0.1:PORT")
    parser.add_argument("count", type=int, help="frames")
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--size", default="96x64")
    parser.add_argument("--silent-after", type=int, help="send so many frames, and then nothing, for ever")
    parser.add_argument("--rubbish-after", type=int, help="send so many frames, and then noise")
    arguments = parser.parse_args()
    if arguments.url.startswith("udp"):
        send(arguments, arguments.url)
        return
    port = int(arguments.url.rpartition(":")[2].rstrip("/"))
    with socket.create_server(("127.0.0.1", port)) as server:
        connection, _ = server.accept()
    with connection, connection.makefile("wb", buffering=0) as out:
        connection.recv(4096)
        out.write(HEAD)
        send(arguments, out)


def send(arguments: argparse.Namespace, out) -> None:
    width, height = map(int, arguments.size.split("x"))
    with av.open(out, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency", "g": "12"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        start = time.monotonic()
        for number in range(arguments.count):
            if number == arguments.silent_after:
                time.sleep(3600)
            time.sleep(max(0, start + number / arguments.fps - time.monotonic()))
            if arguments.rubbish_after is not None and number >= arguments.rubbish_after:
                out.write(np.random.default_rng(number).bytes(4000))
                continue
            image = np.full((height, width, 3), 10 + number % 200, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))


if __name__ == "__main__":
    main()
