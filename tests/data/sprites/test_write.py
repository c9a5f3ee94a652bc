"""Sprites on disk, read back as A2D Sentences."""

import csv

import numpy as np
import pytest

from cstm.data.a2d import A2DSentences
from cstm.data.sprites import write
from cstm.data.sprites.dataset import clear_enough, make_clip, reference
from cstm.data.sprites.options import SpriteOptions
from cstm.data.sprites.write import LABELLED, TIMES, write_sprites
from cstm.errors import DatasetError, RequestError, VideoError

h5py = pytest.importorskip("h5py")
OPTIONS = SpriteOptions(clips=4, seed=5, split="test", size=80)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_sprites(tmp_path_factory.mktemp("sprites") / "new" / "set", OPTIONS)


@pytest.fixture(scope="module")
def clips():
    o = OPTIONS
    made = [make_clip(o.split, o.seed, n, o.size, TIMES, LABELLED, compress=False) for n in range(o.clips)]
    return {f"test{number:05d}": clip for number, clip in enumerate(made)}


def annotations(root):
    """Everything but the videos: texts as they are, arrays of the masks."""
    found = {}
    for file in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".mp4"):
        name = str(file.relative_to(root))
        if file.suffix == ".h5":
            with h5py.File(file) as opened:
                found[name] = {key: opened[key][()].tolist() for key in opened}
        else:
            found[name] = file.read_text()
    return found


def test_the_references_are_the_sentences_of_who_can_be_seen(written, clips):
    expected = []
    for video, clip in clips.items():
        for place, index in enumerate(LABELLED):
            seen = clear_enough(clip.masks[place], clip.whole[place])
            for actor, told in sorted(clip.sentences.items()):
                if seen[actor] and (place == 1 or told.lasting):
                    expected.append(reference(clip, actor, video, index))
    found = A2DSentences(written, "test", OPTIONS.size).references
    assert found == expected and {r.frame for r in found} == set(LABELLED)
    assert {r.video for r in found} == set(clips)
    assert {r.difficulty for r in found} == {"trivial", "non-trivial"}


def test_masks_are_read_as_they_were_drawn(written, clips):
    dataset = A2DSentences(written, "test", OPTIONS.size)
    for one in dataset.references:
        truth = clips[one.video].masks[LABELLED.index(one.frame), int(one.instance)]
        assert (dataset.load(one).mask == truth).all() and truth.any()


def test_clips_are_read_near_to_what_was_drawn(written, clips):
    dataset = A2DSentences(written, "test", OPTIONS.size)
    for one in dataset.references[::3]:
        drawn = clips[one.video].frames[one.frame - 8 : one.frame + 8 : 2].transpose(3, 0, 1, 2).astype(int)
        difference = np.abs(dataset.load(one).clip - drawn).mean((0, 2, 3))
        assert difference.max() < 12
        assert np.abs(dataset.load(one).clip[:, 4] - drawn[:, 4]).mean() <= np.abs(drawn[:, 0] - drawn[:, 4]).mean() + 8


def test_boxes_hold_their_masks(written, clips):
    for file in (written / "a2d_annotation_with_instances").rglob("*.h5"):
        clip, place = clips[file.parent.name], LABELLED.index(int(file.stem) - 1)
        with h5py.File(file) as opened:
            instances, boxes = np.ravel(opened["instance"][()]).astype(int), opened["reBBox"][()].T
        assert len(instances) == len(boxes)
        for instance, (left, top, right, bottom) in zip(instances, boxes.astype(int), strict=True):
            mask = clip.masks[place, instance]
            assert mask[top : bottom + 1, left : right + 1].sum() == mask.sum()
            assert mask[top].any() and mask[bottom].any() and mask[:, left].any() and mask[:, right].any()


@pytest.mark.parametrize(("split", "official"), [("train", "train"), ("test", "test"), ("test-style", "test")])
def test_the_table_of_videos_says_the_split(split, official, tmp_path):
    out = write_sprites(tmp_path / "out", SpriteOptions(clips=1, split=split, size=64))
    rows = list(csv.reader((out / "Release" / "videoset.csv").open()))
    assert [(row[0], row[4:]) for row in rows] == [
        (f"{split}00000", ["64", "64", "32", "3", "0" if official == "train" else "1"])
    ]
    assert A2DSentences(out, official, 64).references
    with pytest.raises(DatasetError):
        A2DSentences(out, "train" if official == "test" else "test", 64)


def test_the_same_options_give_the_same_annotations(written, tmp_path):
    again = write_sprites(tmp_path / "again", OPTIONS)
    assert annotations(again) == annotations(written)


def test_a_kind_is_kept(tmp_path):
    out = write_sprites(tmp_path / "out", SpriteOptions(clips=2, size=64, kind="action"))
    videos = {r.video for r in A2DSentences(out, "test", 64).references if r.difficulty == "non-trivial"}
    assert len(videos) == 2


def test_an_existing_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(RequestError, match="exists"):
        write_sprites(tmp_path / "out", OPTIONS)
    assert not any((tmp_path / "out").iterdir())


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    made = []

    def fail_at_second(*arguments, **options):
        made.append(arguments)
        if len(made) == 2:
            raise VideoError("disk full")
        return make_clip(*arguments, **options)

    monkeypatch.setattr(write, "make_clip", fail_at_second)
    with pytest.raises(VideoError, match="disk full"):
        write_sprites(tmp_path / "place" / "out", OPTIONS)
    assert len(made) == 2 and not any((tmp_path / "place").iterdir())


def test_another_split_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(RequestError, match="validation"):
        write_sprites(tmp_path / "place" / "out", SpriteOptions(clips=1, split="validation"))
    assert not any((tmp_path / "place").iterdir())


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"size": 62}, {"size": 81}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(RequestError, match="clips must be 1 or more"):
        SpriteOptions(**wrong)
