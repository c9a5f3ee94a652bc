"""Many workers write what one writes; whatever happens to them, one line says it and nothing stays behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from zlib import crc32

import pytest
from PIL import Image

from cstm.commands.main import main
from cstm.errors import EngineError, QueryError, RequestError
from cstm.runtime.crew import Opening
from cstm.runtime.segment_in_parts import segment_in_parts
from cstm.runtime.video_index import index_video
from cstm.runtime.video_writer import VideoWriter

from .films import UNEVEN, pictures, spoil, write_film

SENTENCES = ["the dog on the left", "a person in red"]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("film") / "a.mkv", stamps=UNEVEN, bf="3")


@pytest.fixture
def shown(monkeypatch):
    """What is given to the overlay's encoder, which on a busy machine does not make the same file of it each time."""
    given, write = [], VideoWriter.write
    monkeypatch.setattr(
        VideoWriter, "write", lambda self, image, time: given.append((time, crc32(image))) or write(self, image, time)
    )
    monkeypatch.setattr(VideoWriter, "end", lambda self, time: given.append(time))
    return given


@pytest.mark.parametrize("what", ["whole", "cut", "damaged", "folder"])
def test_workers_write_the_same_files(what, bundle_path, film, tmp_path, shown, capsys):
    video, options = film, ["--every", "2"]
    if what == "cut":
        video = tmp_path / "cut.mkv"
        video.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    if what == "damaged":  # which no packet tells: the part that holds it finds it
        video, options = spoil(film, tmp_path / "damaged.mkv", 40), ["--clip-fps", "20"]
    if what == "folder":  # in which a picture cannot be read
        (video := tmp_path / "folder").mkdir()
        for number, picture in enumerate(pictures()):
            Image.fromarray(picture).save(video / f"{number}.png")
        (video / "45.png").write_bytes(b"no picture")
    command = ["segment", str(video), *SENTENCES, "--bundle", str(bundle_path), "--backend", "onnxruntime", *options]
    found = []
    for workers in (1, 2):
        masks, overlay = tmp_path / f"{workers}.json", tmp_path / f"{workers}.mp4"
        shown.clear()
        code = main(
            [*command, "--threads", "1", "--workers", str(workers), "--masks", str(masks), "--out", str(overlay)]
        )
        said = capsys.readouterr()
        assert ("2 workers" in said.out) == (workers == 2) and overlay.stat().st_size
        errors = [line for line in said.err.splitlines() if line.startswith("error")]
        found.append((code, masks.read_bytes(), shown.copy(), errors))
    assert found[0] == found[1]
    assert (found[0][0], len(found[0][3])) == ((2, 1) if what in ("cut", "folder") else (0, 0))


def test_a_worker_that_is_killed_is_named_and_takes_the_others_with_it(bundle_path, film):
    opening = Opening(bundle_path, "onnxruntime", threads=1)
    victims = []

    def kill(_):
        if not victims:
            victims.append(multiprocessing.active_children()[0])
            victims[0].kill()

    with pytest.raises(EngineError, match=r"worker \d of 2 was ended by SIGKILL.*fewer workers"):
        list(segment_in_parts(opening, index_video(film), SENTENCES, 2, report=kill))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("opening", "sentences", "error"),
    [({"backend": "onnxruntime"}, "", QueryError), ({"backend": "none"}, "a dog", RequestError)],
)
def test_a_worker_that_fails_says_why(opening, sentences, error, bundle_path, film):
    with pytest.raises(error) as caught:
        list(segment_in_parts(Opening(bundle_path, **opening), index_video(film), sentences, 1))
    assert len(str(caught.value).splitlines()) == 1
    assert not multiprocessing.active_children()


def descendants(process):
    """The ids of a process's processes, and of theirs."""
    listed = subprocess.run(["ps", "-eo", "ppid,pid"], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()[1:]]
    found, before = {process}, set()
    while found != before:
        before, found = found, found | {pid for parent, pid in pairs if parent in found}
    return found - {process}


def gone(processes, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        listed = subprocess.run(["ps", "-eo", "pid,stat"], capture_output=True, text=True, check=True).stdout
        states = dict(line.split() for line in listed.splitlines()[1:])
        if all(states.get(str(process), "Z")[0] == "Z" for process in processes):  # ended, or seen by nobody yet
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whoever_ends_the_command_ends_all_of_it_at_once(number, bundle_path, film, tmp_path):
    """At a terminal, Ctrl-C goes to every process of the command."""
    command = [sys.executable, "-m", "cstm.commands.main", "segment", str(film), *SENTENCES, "--workers", "2"]
    command += ["--bundle", str(bundle_path), "--backend", "onnxruntime", "--masks", str(tmp_path / "masks.json")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while len(workers := descendants(process.pid)) < 3:  # two, and what Python cleans up with
        assert process.poll() is None
        time.sleep(0.05)
    if number == signal.SIGKILL:  # of the command alone: workers notice when they have something to say
        process.kill()
        process.communicate()
        assert gone(workers, 30)
        return
    os.killpg(process.pid, number)
    start = time.monotonic()
    error = process.communicate(timeout=30)[1]
    assert time.monotonic() - start < 2 and gone(workers, 2)
    told = [line for line in error.splitlines() if not line.startswith("warning")]
    assert told == ["error: interrupted"]
    assert not list(tmp_path.iterdir())
