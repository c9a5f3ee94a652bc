"""What the network makes of a sentence: LGFS's channel weights, the streams' responses, CMAM's word weights and gates.

`explain` collects the values, `bench.figure` draws them, `bench.strip` draws masks along the video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cstm.errors import RequestError
from cstm.models.config import STAGES, CSTMConfig
from cstm.runtime.postprocess import masks, probabilities
from cstm.runtime.preprocess import clip_windows
from cstm.runtime.text import Query, SentenceReader
from cstm.runtime.video import Frame, open_video

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cstm.models.cmam import CMAM
    from cstm.models.cstm import CSTM
    from cstm.models.lgfs import LGFS

CHANNELS = 8
Window = tuple[Frame, np.ndarray, np.ndarray]  # as `clip_windows` gives it


@dataclass(frozen=True)
class Explanation:
    """What the network made of one sentence at one frame.

    trained: whether the weights were learnt. tokens: the n tokens that it read, padding left out.
    frame: the target's number. image: RGB uint8 [H,W,3]. mask: bool [H,W].
    selection: LGFS's weights of the spatial and the temporal stream by stage, float32 [2,E], which sum to one over the
    two; only stages with LGFS. channels: where LGFS is, the K channels with the largest |w_s - w_t|, int64 [K], the
    most decisive first.
    responses: by stream, for stages 1..5 the projected features float32 [h,w], R/2..R/32, mean over `channels` or,
    where the stage has no LGFS, over all channels.
    words: by stream, CMAM's word weights for stages 1..5, float32 [5,N]: n tokens, then padding; rows sum to one.
    gates: by stream, for stages 1..5 CMAM's gate of each channel, float32 [C], 0.5 leaves it as it is. Both are empty
    without CMAM.
    """

    sentence: str
    trained: bool
    tokens: tuple[str, ...]
    frame: int
    image: np.ndarray
    mask: np.ndarray
    selection: dict[int, np.ndarray]
    channels: dict[int, np.ndarray]
    responses: dict[str, tuple[np.ndarray, ...]]
    words: dict[str, np.ndarray]
    gates: dict[str, tuple[np.ndarray, ...]]


def explain(model: CSTM, reader: SentenceReader, window: Window, sentence: str) -> Explanation:
    """Run `model`, in evaluation mode, on one window of `clip_windows` and one sentence; QueryError as `reader`'s."""
    import torch

    from cstm.models.lgfs import LGFS

    frame, query = window[0], reader(sentence)
    with torch.inference_mode(), _noted(model) as given:
        mask = _mask(model, window, query)
        selection = {
            stage: _selected(fuse, *given[fuse])
            for stage, fuse in zip(STAGES, model.fusion, strict=True)
            if isinstance(fuse, LGFS)
        }
        channels = {stage: _decisive(weights) for stage, weights in selection.items()}
        responses = {
            stream: tuple(
                given[fuse][0][index][0, channels.get(stage, slice(None))].mean(0).numpy()
                for stage, fuse in zip(STAGES, model.fusion, strict=True)
            )
            for index, stream in enumerate(model.config.streams)
        }
        words, gates = {}, {}
        for stream, cmams in _cmams(model).items():
            pairs = [_attended(cmam, *given[cmam]) for cmam in cmams]
            words[stream], gates[stream] = np.stack([p for p, _ in pairs]), tuple(g for _, g in pairs)
    found = (selection, channels, responses, words, gates)
    return Explanation(sentence, model.trained, query.tokens, frame.index, frame.image, mask, *found)


def find_masks(model: CSTM, reader: SentenceReader, window: Window, sentences: list[str]) -> np.ndarray:
    """The sentences' masks, bool [Q,H,W], in the target frame of one window."""
    import torch

    with torch.inference_mode():
        return np.stack([_mask(model, window, reader(sentence)) for sentence in sentences])


def pick_windows(video: str | Path, config: CSTMConfig, numbers: Iterable[int]) -> dict[int, Window]:
    """The windows whose target frames have these numbers. RequestError when the video ends before one of them."""
    wanted = set(numbers)
    found: dict[int, Window] = {}
    with open_video(video) as frames:
        for window in clip_windows(frames, config):
            if window[0].index in wanted:
                found[window[0].index] = window
            if len(found) == len(wanted):
                return found
    raise RequestError(f"{video}: ends after frame {window[0].index}; choose frames from 0 to {window[0].index}")


@contextmanager
def _noted(model: CSTM) -> Iterator[dict[nn.Module, tuple]]:
    """What each fusion stage and each CMAM is given while the block runs, by module."""
    given: dict[nn.Module, tuple] = {}
    parts = [*model.fusion, *(cmam for cmams in _cmams(model).values() for cmam in cmams)]
    handles = [part.register_forward_pre_hook(given.__setitem__) for part in parts]
    try:
        yield given
    finally:
        for handle in handles:
            handle.remove()


def _cmams(model: CSTM) -> dict[str, list[CMAM]]:
    """Those of stages 1..5 by stream; none without CMAM."""
    from cstm.models.cmam import CMAM

    found = {s: [part for part in encoder.modules() if isinstance(part, CMAM)] for s, encoder in model.encoders.items()}
    return {stream: cmams for stream, cmams in found.items() if cmams}


def _mask(model: CSTM, window: Window, query: Query) -> np.ndarray:
    """bool [H,W]."""
    import torch

    from cstm.models.text import text_argument

    frame, _, clip = window
    text = text_argument([torch.from_numpy(array) for array in query.inputs.values()])
    logits = model(torch.from_numpy(clip)[None].float() / 255, text)[-1]
    return masks(probabilities(logits[:, None].numpy()), frame.image.shape[:2], model.config.mask_rule)[0]


def _decisive(weights: np.ndarray) -> np.ndarray:
    """[2,E] -> the channels, at most CHANNELS, whose two weights differ most."""
    return np.argsort(-np.abs(weights[0] - weights[1]), kind="stable")[:CHANNELS]


def _selected(fuse: LGFS, features: list[torch.Tensor], sentence: torch.Tensor) -> np.ndarray:
    """The channel weights [2,E] of one stage, given its inputs."""
    spatial, temporal = features
    return fuse.weights(spatial, temporal, sentence)[0, :, :, 0, 0].numpy()


def _attended(cmam: CMAM, x: torch.Tensor, words: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Word weights [N] and gates [C] of one CMAM, given its inputs."""
    weights = cmam.word_weights(cmam.mixed(x), words)
    return weights[0].numpy(), cmam.channel_gate(weights, words)[0].numpy()
