"""Masks along a video: a few of its frames in a row, each sentence in its own colour, a legend below."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cstm.bench.explain import Window, find_masks
from cstm.runtime.paint import colour_of, paint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cstm.models.cstm import CSTM
    from cstm.runtime.text import SentenceReader

WIDTH, DPI = 14.0, 100
LEAST_COLUMNS = 4
TALLEST = 1.6  # of a picture, height over width
LEGEND_LINE, LINE_LENGTH = 0.24, 110
ALARM = "#a00000"
UNTRAINED = "untrained weights: the masks mean nothing"


@dataclass(frozen=True)
class Strip:
    """Masks of Q sentences in K frames of one video.

    trained: whether the weights were learnt. frames, times: numbers from 0, and seconds from the start, of the frames.
    images: RGB uint8 [K,H,W,3]. masks: bool [K,Q,H,W].
    """

    sentences: tuple[str, ...]
    trained: bool
    frames: tuple[int, ...]
    times: tuple[float, ...]
    images: np.ndarray
    masks: np.ndarray

    @classmethod
    def of(cls, model: CSTM, reader: SentenceReader, windows: list[Window], sentences: list[str]) -> Strip:
        """The masks that `model` finds in windows of `clip_windows`; QueryError as `reader`'s."""
        found = np.stack([find_masks(model, reader, window, sentences) for window in windows])
        frames = [window[0] for window in windows]
        numbers, times = tuple(frame.index for frame in frames), tuple(frame.time for frame in frames)
        return cls(tuple(sentences), model.trained, numbers, times, np.stack([f.image for f in frames]), found)


def draw_strip(strip: Strip) -> Figure:
    """The strip as a matplotlib figure, ready for `savefig`."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    labels = [textwrap.fill(sentence, LINE_LENGTH) for sentence in strip.sentences]
    lines = sum(label.count("\n") + 1 for label in labels)
    columns, (height, width) = max(LEAST_COLUMNS, len(strip.frames)), strip.images.shape[1:3]
    tall = min(height / width, TALLEST) * WIDTH / columns + 0.35
    below = LEGEND_LINE * lines + (0 if strip.trained else LEGEND_LINE) + 0.25
    figure = Figure(figsize=(WIDTH, tall + below), dpi=DPI, facecolor="white")
    grid = figure.add_gridspec(
        1, columns, left=0.008, right=0.992, wspace=0.03, bottom=below / (tall + below), top=1 - 0.32 / (tall + below)
    )
    for index in range(len(strip.frames)):
        axes = figure.add_subplot(grid[index])
        axes.imshow(painted(strip.images[index], strip.masks[index]))
        axes.set_axis_off()
        axes.set_title(f"frame {strip.frames[index]} · {strip.times[index]:.1f} s", fontsize=10, color="#444444", pad=4)
    patches = [Patch(facecolor=np.divide(colour_of(i), 255)) for i in range(len(labels))]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.004, (below - 0.04) / (tall + below))}
    style: dict[str, Any] = {"frameon": False, "fontsize": 11, "handlelength": 1, "handleheight": 1, "borderpad": 0.2}
    for text in figure.legend(patches, labels, labelspacing=0.4, **style, **place).get_texts():
        text.set_parse_math(False)
    if not strip.trained:
        figure.text(0.012, 0.1 / (tall + below), UNTRAINED, fontsize=10, color=ALARM, style="italic")
    return figure


def painted(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """`paint` with outlines that are seen in a small picture: RGB uint8 [H,W,3], masks bool [Q,H,W] -> the same."""
    return paint(image, masks, max(1, round(len(image) / 200)))
