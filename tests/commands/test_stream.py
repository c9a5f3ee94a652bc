"""`cstm stream` as it is typed."""

import json
import time

import pytest

from cstm.commands.main import main
from cstm.data.demo import DEMO_SPRITES

pytestmark = pytest.mark.filterwarnings("ignore::cstm.runtime.segmenter.UntrainedWarning")


def test_a_video_to_lines_and_an_overlay(bundle_path, tmp_path, capsys):
    masks, overlay = tmp_path / "masks.jsonl", tmp_path / "overlay.mp4"
    options = ["--bundle", bundle_path, "--policy", "every=40", "--masks", masks, "--overlay", overlay]
    assert main(["stream", str(DEMO_SPRITES), "the cat", *map(str, options)]) == 0
    records = [json.loads(line) for line in masks.read_text().splitlines()]
    assert [record["index"] for record in records] == list(range(0, 40 * len(records), 40)) and records
    assert overlay.stat().st_size > 1000
    assert f"{len(records)} segmented" in capsys.readouterr().err


def test_a_camera_that_never_comes_is_left_when_the_time_is_over(bundle_path, capsys):
    start = time.monotonic()
    options = ["--bundle", str(bundle_path), "--seconds", "0.5"]
    assert main(["stream", "rtsp://anna:geheim@127.0.0.1:9/live", "the cat", *options]) == 0
    assert time.monotonic() - start < 30
    told = capsys.readouterr().err
    assert "0 frames" in told and "geheim" not in told


def test_what_cannot_be_is_one_line(bundle_path, capsys):
    for source, wanted in (("ftp://host/a", "no live source"), ("no.mp4", "no such file")):
        assert main(["stream", source, "the cat", "--bundle", str(bundle_path)]) == 2
        assert wanted in capsys.readouterr().err
