"""Cameras that stall, die, change and lie: each a process of its own, on this machine's loopback."""

import logging
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from cstm.errors import VideoError
from cstm.runtime.live.address import live_address
from cstm.runtime.live.camera import Camera, Limits

QUICK = Limits(open=4.0, read=1.0, pause=0.05, longest_pause=0.2, give_up=15.0)


@pytest.fixture
def serve():
    """Start a camera, ended with the test."""
    started = []

    def serve(url, count, *options):
        command = [sys.executable, "-m", "cstm.bench.camera", url, str(count), *map(str, options)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        started[-1].stdout.readline()
        return started[-1]

    yield serve
    for process in started:
        process.kill()
        process.communicate()


def watch(camera, most):
    """The first frames of each connection, `most` in all."""
    found, taken = [], 0
    for frames in camera:
        found.append([])
        for frame in frames:
            found[-1].append(frame)
            taken += 1
            if taken == most:
                camera.stop()
    return [frames for frames in found if frames]


def level(frame):
    return round(frame.image.mean()) - 10


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_frames_come_with_their_capture_times(serve, free_port, scheme):
    url = f"{scheme}://127.0.0.1:{free_port}"
    serve(url, 200)
    camera = Camera(live_address(url), QUICK)
    (frames,) = watch(camera, 30)
    first = level(frames[0])  # what came while FFmpeg found out what it is was old, and is not given
    assert [round(level(frame) - first) for frame in frames] == pytest.approx(range(30), abs=2)
    assert [frame.index for frame in frames] == list(range(30))
    steps = [b.at - a.at for a, b in pairwise(frames)]
    assert sum(steps) / len(steps) == pytest.approx(1 / 25, rel=0.1)
    assert frames[0].time == 0 and frames[-1].time == pytest.approx(29 / 25, rel=0.1)
    assert camera.losses == 0


def test_a_camera_that_falls_silent_is_noticed_and_opened_again(serve, free_port, caplog):
    url = f"http://127.0.0.1:{free_port}"
    first = serve(url, 500, "--silent-after", 40)
    camera, found = Camera(live_address(url), QUICK), []

    def again():
        while not camera.losses:
            time.sleep(0.02)
        first.kill()
        first.wait()
        serve(url, 500)

    threading.Thread(target=again, daemon=True).start()
    with caplog.at_level(logging.WARNING):
        found = watch(camera, 50)
    assert level(found[0][-1]) == pytest.approx(39, abs=1)  # none that came before the silence is lost
    assert len(found) == 2
    assert [frames[0].connection for frames in found] == [1, 2]
    assert found[1][0].index == len(found[0])
    pause = found[1][0].time - found[0][-1].time
    assert 1 < pause < 10  # times go on through the gap
    assert camera.losses == 1
    assert len(caplog.records) < 6  # not a line for each try


def test_a_camera_that_changes_its_size_makes_a_cut(serve, free_port):
    url = f"udp://127.0.0.1:{free_port}"
    first = serve(url, 500)
    camera = Camera(live_address(url), QUICK)
    sizes = []
    for frames in camera:
        for frame in frames:
            sizes.append((frame.connection, frame.image.shape[:2]))
            if len(sizes) == 10:
                first.kill()
                first.wait()
                serve(url, 500, "--size", "128x96")
            if sizes[-1][1] == (96, 128):
                camera.stop()
    assert {shape for number, shape in sizes if number == 1} == {(64, 96)}
    assert sizes[-1][0] > 1 and sizes[-1][1] == (96, 128)


def test_rubbish_ends_no_more_than_the_connection(serve, free_port):
    url = f"http://127.0.0.1:{free_port}"
    serve(url, 80, "--rubbish-after", 40)
    camera = Camera(live_address(url), Limits(open=4.0, read=1.0, pause=0.05, longest_pause=0.1, give_up=0.5))
    frames = []
    with pytest.raises(VideoError, match="see to the camera"):
        for part in camera:
            frames.extend(part)
    assert level(frames[-1]) == pytest.approx(39, abs=1)


def silent_server():
    """It accepts, and says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    return server, server.getsockname()[1]


@pytest.mark.parametrize("scheme", ["rtsp", "http", "udp", "tcp", "refused"])
def test_it_stops_within_two_seconds_from_every_state(scheme, free_port):
    server, listening = silent_server()
    url = f"http://127.0.0.1:{free_port}" if scheme == "refused" else f"{scheme}://127.0.0.1:{listening}/live"
    before = set(Path("/proc/self/fd").iterdir())
    camera = Camera(live_address(url), Limits(open=1.0, read=1.0))
    thread = threading.Thread(target=lambda: [list(frames) for frames in camera])
    thread.start()
    time.sleep(0.4)
    start = time.monotonic()
    camera.stop()
    thread.join(5)
    assert not thread.is_alive() and time.monotonic() - start < 2
    server.close()
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_nothing_secret_is_logged(free_port, caplog):
    url = f"rtsp://anna:geheim@127.0.0.1:{free_port}/live?key=abc123"
    camera = Camera(live_address(url), Limits(open=1.0, give_up=0.0, pause=0.01))
    with caplog.at_level(logging.DEBUG), pytest.raises(VideoError) as error:
        list(camera)
    said = caplog.text + str(error.value)
    assert "127.0.0.1" in said
    assert not [secret for secret in ("geheim", "anna", "abc123") if secret in said]
