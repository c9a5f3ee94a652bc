"""The masks' file as it grows."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cstm.errors import CSTMError, RequestError
from cstm.runtime import rle
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.masks_file import JsonWriter
from cstm.runtime.masks_formats import masks_writer

HEAD = {"video": "clip.mp4", "size": [4, 6], "fps": 10.0, "sentences": ["a dog"], "trained": True}
IMAGE = np.zeros((4, 6, 3), np.uint8)


def results(count):
    rng = np.random.default_rng(0)
    for index in range(count):
        yield FrameMasks(index, index / 10, IMAGE, rng.random((1, 4, 6)) > 0.5, np.full(1, 0.25, np.float32))


def record(result):
    masks = [rle.encode(mask) for mask in result.masks]
    return {"index": result.index, "time": result.time, "scores": [0.25], "masks": masks}


def write(path, count, head=HEAD):
    with masks_writer(path)(path, head) as writer:
        for result in results(count):
            writer.write(result)
    return path.read_text()


@pytest.mark.parametrize("head", [HEAD, {}])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_json_is_as_if_written_at_once(tmp_path, count, head):
    expected = head | {"frames": [record(result) for result in results(count)]}
    assert write(tmp_path / "masks.json", count, head) == json.dumps(expected)


@pytest.mark.parametrize("count", [1, 5])
def test_lines_of_json(tmp_path, count):
    head, *frames = map(json.loads, write(tmp_path / "masks.jsonl", count).splitlines())
    assert head == HEAD and frames == [record(result) for result in results(count)]


def test_nothing_is_left_where_it_fails(tmp_path):
    with pytest.raises(CSTMError, match="broken"), JsonWriter(tmp_path / "masks.json", HEAD) as writer:
        writer.write(next(results(1)))
        raise CSTMError("broken")
    assert list(tmp_path.iterdir()) == []


def test_frames_reach_the_disk_as_they_come(tmp_path):
    with JsonWriter(tmp_path / "masks.json", HEAD) as writer:
        for result in results(400):
            writer.write(result)
        (growing,) = tmp_path.iterdir()
        assert growing.name != "masks.json" and growing.stat().st_size > 10_000


def test_presence_is_told_where_it_is_known(tmp_path):
    (result,) = results(1)
    known = replace(result, presence=np.float32([0.5]), track_presence=np.float32([0.25]), seen=np.array([False]))
    with JsonWriter(tmp_path / "masks.json", HEAD) as writer:
        writer.write(known)
    (frame,) = json.loads((tmp_path / "masks.json").read_text())["frames"]
    assert frame == record(result) | {"presence": [0.5], "track_presence": [0.25], "seen": [False]}


def spot(count, sentences=2):
    """Frames 0, 2, 4, …; the first sentence's mask grows and is absent from the third frame, the second's is whole."""
    for number in range(count):
        masks = np.zeros((sentences, 4, 6), bool)
        masks[0, 1 : 2 + number % 2, 2 : 3 + number] = number != 2
        masks[1:] = True
        yield FrameMasks(2 * number, number / 5, IMAGE, masks, np.full(sentences, 0.5, np.float32))


TWO = HEAD | {"sentences": ["a dog", 'a "cat" é']}


def written(path, count=4, head=TWO):
    with masks_writer(path)(path, head) as writer:
        for result in spot(count):
            writer.write(result)
    return path


@pytest.mark.parametrize("count", [0, 1, 4])
def test_coco_as_pycocotools_reads_it(tmp_path, count):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(written(tmp_path / "masks.coco.json", count)))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == TWO["sentences"]
    images = coco.loadImgs(coco.getImgIds())
    assert [image["file_name"] for image in images] == [f"frame_{2 * i:06d}.PNG" for i in range(count)]
    found = {(a["image_id"], a["category_id"]): a for a in coco.loadAnns(coco.getAnnIds())}
    assert len(found) == sum(mask.any() for result in spot(count) for mask in result.masks)
    for result in spot(count):
        for category, mask in enumerate(result.masks, 1):
            if annotation := found.get((result.index, category)):
                np.testing.assert_array_equal(coco.annToMask(annotation), mask)
                x, y, width, height = annotation["bbox"]
                assert mask[y : y + height, x : x + width].sum() == mask.sum() == annotation["area"]
                assert (
                    mask[y].any() and mask[:, x].any() and mask[y + height - 1].any() and mask[:, x + width - 1].any()
                )


def test_coco_can_be_scored_against_itself(tmp_path):
    tools = pytest.importorskip("pycocotools.cocoeval")
    coco = pytest.importorskip("pycocotools.coco").COCO(str(written(tmp_path / "masks.coco.json")))
    scored = tools.COCOeval(coco, coco.loadRes(coco.loadAnns(coco.getAnnIds())), "segm")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1)


def test_boxes_for_label_studio(tmp_path):
    (task,) = json.loads(written(tmp_path / "masks.labelstudio.json").read_text())
    assert task["data"] == {"video": "clip.mp4"}
    dog, cat = task["predictions"][0]["result"]
    assert dog["type"] == "videorectangle" and dog["value"]["labels"] == ["a dog"]
    assert dog["value"]["framesCount"] == 7 and dog["value"]["duration"] == pytest.approx(0.7)
    assert [(k["frame"], k["time"], k["enabled"]) for k in dog["value"]["sequence"]] == [
        (1, 0.0, True),
        (3, 0.2, True),
        (5, 0.4, False),
        (7, 0.6, True),
    ]
    second = dog["value"]["sequence"][1]
    place = [second[name] for name in ("x", "y", "width", "height")]
    assert place == pytest.approx([100 / 3, 25, 100 / 3, 50], abs=1e-3)
    assert len(cat["value"]["sequence"]) == 4 and cat["value"]["sequence"][0]["width"] == 100


def test_boxes_of_a_sentence_without_masks_are_none(tmp_path):
    (task,) = json.loads(written(tmp_path / "masks.labelstudio.json", 0).read_text())
    assert task["predictions"][0]["result"] == []


def test_pictures(tmp_path):
    folder = written(tmp_path / "masks")
    assert json.loads((folder / "masks.json").read_text()) == TWO
    for result in spot(4):
        for number, mask in enumerate(result.masks, 1):
            with Image.open(folder / str(number) / f"{result.index:06d}.png") as picture:
                np.testing.assert_array_equal(np.asarray(picture), 255 * mask.astype(np.uint8))


def test_pictures_are_not_mixed_with_what_is_there(tmp_path):
    (tmp_path / "masks").mkdir()
    with pytest.raises(CSTMError, match="exists; name another folder"):
        written(tmp_path / "masks")
    with pytest.raises(CSTMError, match="broken"), masks_writer("m")(tmp_path / "m", TWO) as writer:
        writer.write(next(spot(1)))
        raise CSTMError("broken")
    assert [place.name for place in tmp_path.iterdir()] == ["masks"]


def test_a_form_that_there_is_not():
    with pytest.raises(RequestError, match=r"masks.png: masks are written to .coco.json, .*, or as pictures"):
        masks_writer("masks.png")
