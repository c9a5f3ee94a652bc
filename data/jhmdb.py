"""J-HMDB Sentences: one person in each short video, a mask in nearly every frame, a sentence for each video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cstm.data.sample import Reference, Sample
from cstm.data.tables import read_sentences
from cstm.data.window import CENTRED, Clips
from cstm.errors import DatasetError, RequestError
from cstm.models.config import CSTMConfig

OFFICIAL_VIDEOS = 928
SPLITS = {"train": "1", "test": "2"}  # as the split files have them
FRAMES, MASKS, SENTENCES = "Rename_Images", "puppet_mask", "jhmdb_annotation.txt"
SPLIT_FILES = "splits/*_test_split1.txt"


class JHMDBSentences:
    """The references of J-HMDB Sentences whose frames and masks are under `root`.

    root: holds jhmdb_annotation.txt, Rename_Images/<action>/<video>/<number>.png and
    puppet_mask/<action>/<video>/puppet_mask.mat. size, frames, stride: R and T of the clips, and the
    frames from one of theirs to the next. window: "centred" or "authors".
    split: "all", as models trained on A2D are evaluated, or "train" or "test" of split 1, read from
    splits/<action>_test_split1.txt. frames_per_video: so many evenly spaced, or None: every frame that has a mask.
    references: ordered by video and frame; `action` is the folder's name, and there is one instance, "0".
    RequestError for another split or window; DatasetError when files are missing or broken, or no reference is left.
    """

    def __init__(
        self,
        root: str | Path,
        size: int = CSTMConfig.size,
        frames: int = CSTMConfig.frames,
        stride: int = CSTMConfig.stride,
        window: str = CENTRED,
        split: str = "all",
        frames_per_video: int | None = 3,
    ):
        if split != "all" and split not in SPLITS:
            raise RequestError(f'split="{split}": J-HMDB Sentences has "all", "train" and "test"')
        if frames_per_video is not None and frames_per_video < 1:
            raise RequestError(f"frames_per_video={frames_per_video}: must be positive, or None for every frame")
        self.root = Path(root)
        self._clips = Clips(size, frames, stride, window)
        self._sentences = dict(read_sentences(self.root / SENTENCES, "video_id", "query"))
        self._actions = {video: action for video, action in self._find_videos() if video in self._sentences}
        chosen = self._actions if split == "all" else _split_videos(self.root, split)
        self.references = [
            Reference(video, frame, self._sentences[video], action=self._actions[video])
            for video in sorted(self._actions.keys() & chosen)
            for frame in evenly(self._count(video), frames_per_video)
        ]
        if not self.references:
            raise DatasetError(f"{root}: no video of split {split} has its frames, masks and sentence here")

    @property
    def sentences_file(self) -> Path:
        """jhmdb_annotation.txt."""
        return self.root / SENTENCES

    def check_official_counts(self) -> str:
        """One line that says whether every official video is here, by their number, whatever the split."""
        counts = f"J-HMDB Sentences: {len(self._actions):,} of {OFFICIAL_VIDEOS:,} videos"
        complete = len(self._actions) == OFFICIAL_VIDEOS
        return f"{counts}, the official set" if complete else f"{counts}; not to compare with published figures"

    def load(self, reference: Reference) -> Sample:
        """The sample of one of `references`. DatasetError or VideoError when a file is missing or broken."""
        video, frame = reference.video, reference.frame
        if video not in self._actions:
            raise DatasetError(f"{self.root}: holds no video {video}")
        masks = _read_masks(self._mask_file(video))
        if frame >= masks.shape[2]:
            raise DatasetError(f"{self._mask_file(video)}: frame {frame + 1} has no mask; load one of the references")
        mask = np.ascontiguousarray(masks[..., frame] != 0)
        self._clips.check_mask(self._frame_folder(video), mask, self._mask_file(video))
        return Sample(reference, self._clips(self._frame_folder(video), frame), mask)

    def clip(self, reference: Reference, offset: int) -> np.ndarray:
        """As Dataset.clip."""
        return self._clips(self._frame_folder(reference.video), max(reference.frame + offset, 0))

    def _find_videos(self) -> list[tuple[str, str]]:
        """(video, action) of those with frames and masks."""
        frames, masks = self.root / FRAMES, self.root / MASKS
        if not (frames.is_dir() and masks.is_dir()):
            raise DatasetError(
                f"{self.root}: lacks the folder {FRAMES} or {MASKS}; name the folder of J-HMDB Sentences"
            )
        folders = [folder for action in frames.iterdir() if action.is_dir() for folder in action.iterdir()]
        both = [f for f in folders if f.is_dir() and (masks / f.parent.name / f.name / "puppet_mask.mat").is_file()]
        return [(folder.name, folder.parent.name) for folder in both]

    def _frame_folder(self, video: str) -> Path:
        return self.root / FRAMES / self._actions[video] / video

    def _mask_file(self, video: str) -> Path:
        return self.root / MASKS / self._actions[video] / video / "puppet_mask.mat"

    def _count(self, video: str) -> int:
        """The number of frames that have a mask: the last of a video may have none."""
        images = [file for file in self._frame_folder(video).glob("*.png") if file.name[0] != "."]
        return min(len(images), _mask_count(self._mask_file(video)))


def evenly(count: int, wanted: int | None) -> list[int]:
    """The middles, from 0, of `wanted` equal parts of `count` frames; all frames where None, or there are no more."""
    if wanted is None or wanted >= count:
        return list(range(count))
    return [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]


def _split_videos(root: Path, split: str) -> set[str]:
    files = sorted(root.glob(SPLIT_FILES))
    if not files:
        raise DatasetError(f'{root}: has no {SPLIT_FILES}; copy J-HMDB\'s split files there, or use split="all"')
    videos = set()
    for file in files:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            name, number = line.split() if len(line.split()) == 2 else ("", "")
            if line.strip() and number not in ("0", "1", "2"):
                raise DatasetError(f'{file}: "{line}" is not "<video>.avi 0|1|2"; copy the file again')
            if number == SPLITS[split]:
                videos.add(name.removesuffix(".avi"))
    return videos


def _mask_count(file: Path) -> int:
    """From the file's head alone."""
    shapes = {name: shape for name, shape, _ in _matlab("whosmat", file)}
    shape = shapes.get("part_mask", ())
    if len(shape) not in (2, 3):
        raise DatasetError(f"{file}: holds no part_mask [H,W,T]; copy it again")
    return (*shape, 1)[2]  # MATLAB drops a last axis of one


def _read_masks(file: Path) -> np.ndarray:
    """uint8 [H,W,T], 0 where the person is not."""
    masks = _matlab("loadmat", file, variable_names=["part_mask"]).get("part_mask")
    if masks is None or masks.ndim not in (2, 3):
        raise DatasetError(f"{file}: holds no part_mask [H,W,T]; copy it again")
    return np.atleast_3d(masks)


def _matlab(function: str, file: Path, **options: Any) -> Any:
    import scipy.io

    try:
        return getattr(scipy.io, function)(str(file), **options)
    except Exception as error:  # SciPy raises all kinds on a file that it cannot make out
        raise DatasetError(f"{file}: not a MATLAB file that can be read ({error}); copy it again") from error
