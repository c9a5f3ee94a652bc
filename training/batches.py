"""Batches of samples as tensors: streamed sprites, or a dataset shuffled anew every epoch. Batch n is the same in
every run, so that a resumed run goes on where it was."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader

from cstm.data.sample import Dataset, Sample
from cstm.errors import CSTMError
from cstm.models.config import CSTMConfig
from cstm.runtime.text import SentenceReader, stack
from cstm.training.shaken import shaken

if TYPE_CHECKING:
    from cstm.data.sprites.cutouts import Cutouts

SENTENCES_A_CLIP = 2
AHEAD = 4  # batches that each worker makes ahead
Batch = tuple[torch.Tensor, tuple[torch.Tensor, ...], torch.Tensor]  # as `Tensors` makes it
MIRRORED = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}


class Batches(Protocol):
    """Batches by number, from 0."""

    def __getitem__(self, number: int) -> list[Sample]: ...


class SpriteBatches:
    """Batch n of sprite clips, with up to two sentences each; nothing is read from or written to the disk.

    actions: share of the clips that are drawn to have two actors whose sentences differ in the action alone, besides
    those that happen to: what has to be watched is learnt last. cutouts: photographs that act beside the emoji.
    absent: share of the samples whose sentence is of nobody in the clip.
    """

    def __init__(
        self,
        seed: int,
        batch: int,
        config: CSTMConfig,
        split: str = "train",
        actions: float = 0.0,
        cutouts: Cutouts | None = None,
        absent: float = 0.0,
    ):
        self.seed, self.batch, self.config, self.split, self.actions = seed, batch, config, split, actions
        self.cutouts, self.absent = cutouts, absent

    def __getitem__(self, number: int) -> list[Sample]:
        from cstm.data.sprites.dataset import stream

        samples: list[Sample] = []
        clip = number * self.batch  # a clip has at least one sentence, so batches never share clips
        while len(samples) < self.batch:
            kind = "action" if np.random.default_rng([self.seed, 2, clip]).random() < self.actions else None
            size, frames, stride = self.config.size, self.config.frames, self.config.stride
            made_of = self.cutouts, self.absent
            samples += stream(self.split, self.seed, clip, size, frames, stride, SENTENCES_A_CLIP, kind, *made_of)
            clip += 1
        return samples[: self.batch]


class DatasetBatches:
    """Batch n of a dataset on disk, in an order drawn anew each epoch, each sample mirrored or not.

    shake: the side of the moving parts to show of the samples, or None to show all of them.
    """

    def __init__(self, dataset: Dataset, seed: int, batch: int, shake: int | None = None):
        self.dataset, self.seed, self.batch, self.shake = dataset, seed, batch, shake
        self.orders: dict[int, np.ndarray] = {}

    def __getitem__(self, number: int) -> list[Sample]:
        return [self._sample(place) for place in range(number * self.batch, (number + 1) * self.batch)]

    def _sample(self, place: int) -> Sample:
        count = len(self.dataset.references)
        epoch, index = divmod(place, count)
        if epoch not in self.orders:
            self.orders = {epoch: np.random.default_rng([self.seed, epoch]).permutation(count)}
        sample = self.dataset.load(self.dataset.references[self.orders[epoch][index]])
        rng = np.random.default_rng([self.seed, 1, place])
        sample = mirrored(sample) if rng.random() < 0.5 else sample
        return shaken(sample, self.shake, rng) if self.shake else sample


class Together:
    """Batch n: those of several sources, one after the other."""

    def __init__(self, *parts: Batches):
        self.parts = parts

    def __getitem__(self, number: int) -> list[Sample]:
        return [sample for part in self.parts for sample in part[number]]


class HeldOut:
    """Batch n of `count` references spread evenly over a dataset, as they are; at the end, fewer, then none."""

    def __init__(self, dataset: Dataset, batch: int, count: int):
        total = len(dataset.references)
        count = min(count, total)
        self.chosen = [dataset.references[i * total // count] for i in range(count)]
        self.dataset, self.batch = dataset, batch

    def __getitem__(self, number: int) -> list[Sample]:
        chosen = self.chosen[number * self.batch : (number + 1) * self.batch]
        return [self.dataset.load(reference) for reference in chosen]


def mirrored(sample: Sample) -> Sample:
    """The sample left for right, in the pixels and in the sentence."""
    sentence = re.sub(r"\w+", lambda word: _other_side(word[0]), sample.reference.sentence)
    reference = replace(sample.reference, sentence=sentence)
    return Sample(reference, np.ascontiguousarray(sample.clip[..., ::-1]), np.ascontiguousarray(sample.mask[:, ::-1]))


def _other_side(word: str) -> str:
    other = MIRRORED.get(word.lower())
    if other is None:
        return word
    return other.capitalize() if word[0].isupper() else other


class Tensors:
    """Samples -> (clips uint8 [B,3,T,R,R], the text encoder's inputs, masks bool [B,R,R])."""

    def __init__(self, reader: SentenceReader):
        self.reader = reader

    def __call__(self, samples: list[Sample]) -> Batch:
        """QueryError when a sentence cannot be read."""
        inputs = stack([self.reader(sample.reference.sentence) for sample in samples])
        text = tuple(map(torch.from_numpy, inputs.values()))
        clips = torch.from_numpy(np.stack([sample.clip for sample in samples]))
        masks = [_at_size(sample.mask, sample.clip.shape[-1]) for sample in samples]
        return clips, text, torch.from_numpy(np.stack(masks))


def _at_size(mask: np.ndarray, size: int) -> np.ndarray:
    """Nearest neighbour, bool [H,W] -> [size,size]."""
    if mask.shape == (size, size):
        return mask
    rows, columns = ((np.arange(size) + 0.5) * side / size for side in mask.shape)
    return mask[rows.astype(int)[:, None], columns.astype(int)]


class _Numbered(torch.utils.data.Dataset[Batch | CSTMError]):
    """Batches as tensors, by number, for a loader's workers."""

    def __init__(self, batches: Batches, tensors: Tensors):
        self.batches, self.tensors = batches, tensors

    def __getitem__(self, number: int) -> Batch | CSTMError:
        try:
            return self.tensors(self.batches[number])
        except CSTMError as error:  # raised in a worker, it would arrive as the text of a traceback
            return error


def loader(batches: Batches, tensors: Tensors, numbers: range, workers: int) -> DataLoader[Batch | CSTMError]:
    """The batches of these numbers as tensors, or the CSTMError that one met, in order.

    workers: processes that make them ahead; 0 makes them in this one.
    """
    return DataLoader(
        _Numbered(batches, tensors),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        worker_init_fn=_one_thread,
        # Spawned, not forked: a fork of a process whose OpenMP threads have run may never wake up.
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # or a loader, as it starts, would draw from the one that dropout draws from
        pin_memory=torch.cuda.is_available(),
    )


def _one_thread(_worker: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
