"""Data sets by name: sprites, and folders that are recognised by what they hold."""

import pytest

from cstm.data import open as open_module
from cstm.data.a2d import A2DSentences
from cstm.data.open import cached_sprites, open_dataset
from cstm.errors import DatasetError, RequestError
from cstm.models.config import CSTMConfig

pytest.importorskip("h5py")
pytest.importorskip("cv2")
CONFIG = CSTMConfig.from_preset("tiny", size=64)
FEW = {"clips": 2, "size": 64}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cstm"


def sets(cache):
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


@pytest.mark.parametrize("split", ["train", "test", "test-style"])
def test_sprites_are_made_at_the_networks_size(split, cache):
    dataset = open_dataset("sprites", split, CONFIG, **FEW)
    assert dataset.references and all(r.video.startswith(split) for r in dataset.references)
    sample = dataset.load(dataset.references[0])
    assert sample.clip.shape == (3, CONFIG.frames, 64, 64) and sample.mask.shape == (64, 64)
    (name,) = sets(cache)
    assert name.startswith(f"sprites-{split}-")


def test_sprites_are_made_once_for_the_same_options(cache, monkeypatch):
    first = open_dataset("sprites", "test", CONFIG, **FEW).references
    with monkeypatch.context() as patch:
        patch.setattr("cstm.data.sprites.write.write_sprites", lambda *_: pytest.fail("made again"))
        assert open_dataset("sprites", "test", CONFIG, **FEW).references == first
    assert open_dataset("sprites", "test", CONFIG, **FEW, seed=1).references != first
    assert len(sets(cache)) == 2


def test_a_cutout_more_makes_a_new_set(cache, tmp_path):
    import cv2
    import numpy as np

    folder = tmp_path / "cutouts"
    folder.mkdir()
    made = []
    for number in range(2):
        for name in (f"dog_{number}{letter}.png" for letter in "abcdefghij"):  # some of them for tests
            cv2.imwrite(str(folder / name), np.full((40, 40, 4), 255, np.uint8))
        made.append(cached_sprites("test", **FEW, cutouts=str(folder)))
    assert made[0] != made[1] and cached_sprites("test", **FEW, cutouts=str(folder)) == made[1]


def test_a_change_to_the_generator_makes_a_new_set(cache, tmp_path, monkeypatch):
    kept = cached_sprites("test", **FEW)
    sources = tmp_path / "data" / "sprites"
    sources.mkdir(parents=True)
    (sources / "motion.py").write_text("PERIOD = 9\n")
    monkeypatch.setattr(open_module, "__file__", str(tmp_path / "data" / "open.py"))
    assert cached_sprites("test", **FEW) != kept and len(sets(cache)) == 2


@pytest.mark.parametrize("texts", ["", "text_annotations"])
def test_the_layout_of_a2d_is_recognised(tmp_path, texts):
    from cstm.data.sprites.options import SpriteOptions
    from cstm.data.sprites.write import write_sprites

    root = write_sprites(tmp_path / "a2d", SpriteOptions(clips=1, size=64))
    if texts:
        (root / texts).mkdir()
        for path in root.glob("*a2d*"):
            path.rename(root / texts / path.name)
    for data in (root, str(root)):
        dataset = open_dataset(data, "test", CONFIG)
        assert isinstance(dataset, A2DSentences) and dataset.references


def test_the_layout_of_jhmdb_is_recognised(tmp_path, monkeypatch):
    (tmp_path / "puppet_mask").mkdir()
    monkeypatch.setattr(open_module, "JHMDBSentences", lambda *arguments: arguments)
    assert open_dataset(tmp_path, "1", CONFIG, "authors") == (tmp_path, 64, 8, 2, "authors", "1")


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="holds neither A2D Sentences"):
        open_dataset(tmp_path, "test", CONFIG)
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "absent", "test", CONFIG)


def test_options_of_sprites_are_of_sprites_alone(tmp_path):
    with pytest.raises(RequestError, match="clips, size: options of sprites"):
        open_dataset(tmp_path, "test", CONFIG, **FEW)


def test_another_split_of_sprites_is_refused(cache):
    with pytest.raises(RequestError, match="validation"):
        open_dataset("sprites", "validation", CONFIG, **FEW)
    assert sets(cache) == []
