"""An `Explanation` drawn: frame and mask, CMAM's word weights and gates, the streams' responses, LGFS's weights."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from cstm.bench.strip import DPI, UNTRAINED, WIDTH, painted
from cstm.models.config import STAGES
from cstm.runtime.overlay import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cstm.bench.explain import Explanation

INK, FAINT = "#222222", "#777777"
STREAM_COLOURS = {"spatial": np.divide(COLOURS[5], 255), "temporal": np.divide(COLOURS[3], 255)}
WORD_MAP, RESPONSE_MAP = "cividis", "inferno"
TITLE, TOP, BARS, TALLEST = 0.85, 3.9, 1.95, 2.6  # heights in inches; TALLEST: of a response


def draw(found: Explanation) -> Figure:
    """The explanation as a matplotlib figure, ready for `savefig`. What the network lacks is left out."""
    from matplotlib.figure import Figure

    aspect = found.image.shape[0] / found.image.shape[1]
    response = min(TALLEST, aspect * WIDTH / 5.3) + 0.1
    rows = [response] * len(found.responses) + [BARS] * bool(found.selection)
    heights = [TITLE, TOP, 0.45 + sum(rows)]
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI, facecolor="white")
    head, top, bottom = figure.subfigures(3, 1, height_ratios=heights)
    _title(head, found)
    _top(top, found)
    _stages(bottom, found, rows)
    return figure


def _title(head, found: Explanation) -> None:
    sentence = textwrap.shorten(found.sentence, 100, placeholder="…")
    head.text(0.02, 0.62, f"“{sentence}”", fontsize=17, color=INK, va="center")
    head.text(0.02, 0.2, f"frame {found.frame}", fontsize=11, color=FAINT, va="center")
    if not found.trained:
        head.text(0.98, 0.2, UNTRAINED, fontsize=11, color="#a00000", style="italic", ha="right", va="center")


def _top(panel, found: Explanation) -> None:
    """The frame with its mask; beside it, rows of stages: word weights and gates."""
    frame = panel.add_axes((0.02, 0.03, 0.36, 0.9))
    frame.imshow(painted(found.image, found.mask[None]))
    frame.set_axis_off()
    if not found.words:
        return
    words, bar = panel.add_axes((0.47, 0.21, 0.33, 0.68)), panel.add_axes((0.47, 0.945, 0.33, 0.0))
    bar.remove()
    _word_weights(panel, words, found)
    _gates(panel.add_axes((0.86, 0.21, 0.12, 0.68)), found)


def _word_weights(panel, axes, found: Explanation) -> None:
    """Words as columns, streams and stages as rows, in percent."""
    count = len(found.tokens)
    table = 100 * np.concatenate([weights[:, :count] for weights in found.words.values()])
    image = axes.imshow(table, aspect="auto", cmap=WORD_MAP, interpolation="nearest")
    axes.set_xticks(range(count), found.tokens, rotation=40, ha="right", rotation_mode="anchor", fontsize=10)
    axes.set_yticks(range(len(table)), [f"{stage}" for _ in found.words for stage in STAGES], fontsize=9)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    for index, stream in enumerate(found.words):
        axes.axhline(5 * index - 0.5, color="white", linewidth=3 * bool(index))
        place = {"transform": axes.get_yaxis_transform(), "rotation": 90, "ha": "center", "va": "center"}
        axes.text(-0.08, 5 * index + 2, f"{stream}", fontsize=10, color=STREAM_COLOURS[stream], **place)
    axes.set_title("CMAM: weight of each word, %", fontsize=11, color=INK, loc="left")
    scale = panel.colorbar(image, ax=None, cax=panel.add_axes((0.806, 0.21, 0.007, 0.68)))
    scale.ax.tick_params(labelsize=8, colors=FAINT, length=2)
    scale.outline.set_visible(False)


def _gates(axes, found: Explanation) -> None:
    """For each stream and stage the middle 90 % (thin) and 50 % (thick) of the channels' gates, and the median."""
    row, reach = 0, 0.02
    for stream, stages in found.gates.items():
        for gates in stages:
            low, first, middle, third, high = np.percentile(gates, (5, 25, 50, 75, 95))
            axes.plot((low, high), (row, row), color=STREAM_COLOURS[stream], linewidth=1.5, solid_capstyle="butt")
            axes.plot((first, third), (row, row), color=STREAM_COLOURS[stream], linewidth=6, solid_capstyle="butt")
            axes.plot(middle, row, "o", color="white", markersize=3)
            row, reach = row + 1, max(reach, 1.1 * abs(low - 0.5), 1.1 * abs(high - 0.5))
    axes.axvline(0.5, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    axes.set_xlim(0.5 - reach, 0.5 + reach)
    axes.set_ylim(row - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(colors=FAINT, labelsize=8, length=2)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.set_xlabel("0.5 leaves a channel as it is", fontsize=9, color=FAINT)
    axes.set_title("CMAM: channels' gates", fontsize=11, color=INK, loc="left")


def _stages(panel, found: Explanation, rows: list[float]) -> None:
    """Stages as columns: a row of responses for each stream, then LGFS's weights."""
    whole = 0.45 + sum(rows)
    grid = panel.add_gridspec(
        len(rows),
        5,
        height_ratios=rows,
        left=0.045,
        right=0.985,
        wspace=0.12,
        hspace=0.06,
        top=1 - 0.35 / whole,
        bottom=0.3 / whole,
    )
    for column, stage in enumerate(STAGES):
        for row, (stream, maps) in enumerate(found.responses.items()):
            axes = panel.add_subplot(grid[row, column])
            _response(axes, found.image, maps[column])
            if row == 0:
                axes.set_title(f"stage {stage}", fontsize=11, color=INK)
            if column == 0:
                axes.set_ylabel(f"{stream} response", fontsize=10, color=STREAM_COLOURS[stream])
        if stage in found.selection:
            _bars(panel.add_subplot(grid[-1, column]), found.channels[stage], found.selection[stage])


def _response(axes, image: np.ndarray, response: np.ndarray) -> None:
    """[h,w] over the frame [H,W,3] in grey, scaled from its lowest to its highest value."""
    height, width = image.shape[:2]
    axes.imshow(image.mean(-1), cmap="gray", vmin=0, vmax=255)
    axes.imshow(response, cmap=RESPONSE_MAP, alpha=0.6, interpolation="bilinear", extent=(0, width, height, 0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _bars(axes, channels: np.ndarray, weights: np.ndarray) -> None:
    """For each channel its two weights, one after the other, which fill the whole."""
    left = np.zeros(len(channels))
    for stream, share in zip(STREAM_COLOURS, weights[:, channels], strict=True):
        axes.barh(range(len(channels)), share, left=left, color=STREAM_COLOURS[stream], height=0.75)
        left = left + share
    axes.axvline(0.5, color="white", linewidth=1)
    axes.set_yticks(range(len(channels)), channels, fontsize=8)
    axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"), fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(channels) - 0.5, -0.5)
    axes.tick_params(length=0, colors=FAINT)
    axes.spines[:].set_visible(False)
