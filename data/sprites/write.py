"""Sprite clips on disk, as A2D Sentences lays them out: `data.a2d` reads them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cstm.data.sample import ACTIONS, ACTORS, NON_TRIVIAL
from cstm.data.sprites.cutouts import Cutouts
from cstm.data.sprites.dataset import Clip, clear_enough, make_clip
from cstm.data.sprites.motion import PERIOD
from cstm.data.sprites.options import SpriteOptions
from cstm.data.sprites.scene import Actor
from cstm.errors import RequestError
from cstm.files import atomic_folder
from cstm.progress import track
from cstm.runtime.video_writer import VideoWriter

TIMES = np.arange(-2 * PERIOD, 2 * PERIOD)
LABELLED = (PERIOD, 2 * PERIOD, 3 * PERIOD)  # indices of times -PERIOD, 0, PERIOD
FPS = 25

Row = list[str | int]


def write_sprites(out: Path, options: SpriteOptions) -> Path:
    """Write the set to the new folder `out`, whole or not at all; `out`. RequestError when it exists."""
    if out.exists():
        raise RequestError(f"{out} exists; name a new folder")
    cutouts = Cutouts(options.cutouts, options.split) if options.cutouts else None
    with atomic_folder(out) as folder:
        tables = _Tables(folder)
        for number in track(range(options.clips), f"sprites {options.split}"):
            drawn = options.split, options.seed, number, options.size, TIMES, LABELLED, options.kind
            clip = make_clip(*drawn, compress=False, cutouts=cutouts)
            tables.add(f"{options.split}{number:05d}", clip, options)
        tables.write()
    return out


class _Tables:
    """The set's text files, gathered while its clips are written."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.videos: list[Row] = []
        self.sentences: list[Row] = []
        self.categories: list[Row] = []
        (folder / "Release" / "clips320H").mkdir(parents=True)

    def add(self, video: str, clip: Clip, options: SpriteOptions) -> None:
        size = options.size
        _write_video(
            self.folder / "Release" / "clips320H" / f"{video}.mp4", clip.frames, crf=22 + 2 * (clip.scene.seed % 6)
        )
        for place, index in enumerate(LABELLED):
            _write_masks(self.folder / "a2d_annotation_with_instances" / video, index + 1, clip, place)
        split = int(options.split != "train")
        actor = clip.scene.actors[0]
        self.videos.append([video, _label(actor), "0:00:00", "0:00:01", size, size, len(TIMES), len(LABELLED), split])
        for number, told in clip.sentences.items():
            self.sentences.append([video, number, told.sentence])
            hard = clip.difficulty(number) == NON_TRIVIAL
            self.categories.append([video, number, told.sentence, "Non-trivial" if hard else "Trivial"])

    def write(self) -> None:
        _write_rows(self.folder / "Release" / "videoset.csv", self.videos)
        header: Row = ["video_id", "instance_id", "query"]
        _write_rows(self.folder / "a2d_annotation.txt", [header, *self.sentences])
        (self.folder / "a2d_missed_videos.txt").touch()
        header = ["video_id", "instance_id", "ref_exp", "ref_exp_difficulty"]
        _write_rows(self.folder / "A2D_RE_categorization.csv", [header, *self.categories], ";")


def _label(actor: Actor) -> int:
    return 10 * (ACTORS.index(actor.kind) + 1) + ACTIONS.index(actor.action or "none") + 1


def _write_video(path: Path, frames: np.ndarray, crf: int) -> None:
    with VideoWriter(path, frames.shape[1:3], FPS, crf) as video:
        for frame in frames:
            video.write(frame)


def _write_masks(folder: Path, number: int, clip: Clip, place: int) -> None:
    """One frame's instances: those that show enough of themselves and that no sentence may be wrong about by now."""
    import h5py

    now = place == len(LABELLED) // 2
    shown = [
        i
        for i in map(int, np.flatnonzero(clear_enough(clip.masks[place], clip.whole[place])))
        if now or i not in clip.sentences or clip.sentences[i].lasting
    ]
    if not shown:
        return
    folder.mkdir(parents=True, exist_ok=True)
    masks = clip.masks[place, shown].transpose(0, 2, 1).astype(np.uint8)
    boxes = [_box(clip.masks[place, i]) for i in shown]
    with h5py.File(folder / f"{number:05d}.h5", "w") as file:
        file["reMask"] = masks[0] if len(shown) == 1 else masks
        file["reBBox"] = np.array(boxes, float).T
        file["id"] = np.array([[_label(clip.scene.actors[i]) for i in shown]], float)
        file["instance"] = np.array(shown, float)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max(), rows.max()


def _write_rows(path: Path, rows: Sequence[Row], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)
