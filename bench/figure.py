"""An `Explanation` drawn: frame and mask, CMAM's word weights and gates, the streams' responses, LGFS's weights."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from cstm.bench.strip import ALARM, DPI, UNTRAINED, WIDTH, painted
from cstm.models.config import STAGES
from cstm.runtime.paint import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from cstm.bench.explain import Explanation

INK, FAINT = "#222222", "#666666"
HEADING: dict[str, Any] = {"fontsize": 11, "color": INK, "loc": "left"}
STREAM_COLOURS = {"spatial": np.divide(COLOURS[5], 255), "temporal": np.divide(COLOURS[3], 255)}
FEW = 14  # tokens whose labels have room
WORD_MAP, RESPONSE_MAP = "cividis", "inferno"
LEFT, RIGHT, GAP = 0.045, 0.985, 0.14
TITLE, TOP, BARS, LINE = 0.85, 3.9, 1.9, 0.19  # heights in inches
LEAST, MOST = 0.7, 2.6  # of a response


def draw(found: Explanation) -> Figure:
    """The explanation as a matplotlib figure, ready for `savefig`. What the network lacks is left out."""
    from matplotlib.figure import Figure

    aspect = found.image.shape[0] / found.image.shape[1]
    response = np.clip(aspect * WIDTH * (RIGHT - LEFT) / (5 + 4 * GAP), LEAST, MOST) + 0.08
    rows = [response] * len(found.responses) + [BARS] * bool(found.selection)
    caption = _caption(found)
    heights = [TITLE, TOP, 0.65 + sum(rows) + LINE * len(caption)]
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI, facecolor="white")
    head, top, bottom = np.asarray(figure.subfigures(3, 1, height_ratios=heights), object)
    _title(head, found)
    _top(top, found)
    _stages(bottom, found, rows, caption)
    return figure


def _title(head: SubFigure, found: Explanation) -> None:
    sentence = textwrap.shorten(found.sentence, 105, placeholder="…")
    head.text(LEFT, 0.62, f"“{sentence}”", fontsize=15, color=INK, va="center", parse_math=False)
    head.text(LEFT, 0.22, f"frame {found.frame}", fontsize=11, color=FAINT, va="center")
    if not found.trained:
        head.text(RIGHT, 0.22, UNTRAINED, fontsize=11, color=ALARM, style="italic", ha="right", va="center")


def _top(panel: SubFigure, found: Explanation) -> None:
    """The frame with its mask; beside it, rows of stages: word weights and gates."""
    frame = panel.add_axes((LEFT, 0.03, 0.37, 0.95), anchor="NW")
    frame.imshow(painted(found.image, found.mask[None]))
    frame.set_axis_off()
    if found.words:
        _word_weights(panel.add_axes((0.49, 0.22, 0.31, 0.68)), panel.add_axes((0.805, 0.22, 0.007, 0.68)), found)
        _gates(panel.add_axes((0.86, 0.22, RIGHT - 0.86, 0.68)), found)


def _word_weights(axes: Axes, scale: Axes, found: Explanation) -> None:
    """Words as columns, streams and stages as rows, in percent; the colours' scale in axes of its own."""
    count = len(found.tokens)
    table = 100 * np.concatenate([weights[:, :count] for weights in found.words.values()])
    image = axes.imshow(table, aspect="auto", cmap=WORD_MAP, interpolation="nearest")
    slanted: dict[str, Any] = {
        "rotation": 40 if count <= FEW else 60,
        "ha": "right",
        "rotation_mode": "anchor",
        "parse_math": False,
    }
    axes.set_xticks(range(count), found.tokens, fontsize=10 if count <= FEW else 9, **slanted)
    axes.set_yticks(range(len(table)), [f"stage {stage}" for _ in found.words for stage in STAGES], fontsize=9)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    for index, stream in enumerate(found.words):
        axes.axhline(5 * index - 0.5, color="white", linewidth=3 * bool(index))
        place: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "rotation": 90,
            "ha": "center",
            "va": "center",
        }
        axes.text(-0.15, 5 * index + 2, stream, fontsize=10, color=STREAM_COLOURS[stream], **place)
    axes.set_title("CMAM: weight of each word, %", **HEADING)
    bar = axes.figure.colorbar(image, cax=scale)
    bar.ax.tick_params(labelsize=8, colors=FAINT, length=2)
    bar.outline.set_visible(False)


def _gates(axes: Axes, found: Explanation) -> None:
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
    axes.set_title("CMAM: gates", **HEADING)


def _stages(panel: SubFigure, found: Explanation, rows: list[float], caption: list[str]) -> None:
    """Stages as columns: a row of responses for each stream, then LGFS's weights; the caption."""
    below = 0.35 + LINE * len(caption)
    whole = 0.3 + sum(rows) + below
    edges = {"left": LEFT, "right": RIGHT, "top": 1 - 0.3 / whole, "bottom": below / whole}
    grid = panel.add_gridspec(len(rows), 5, height_ratios=rows, wspace=GAP, hspace=0.04, **edges)
    for column, stage in enumerate(STAGES):
        for row, (stream, maps) in enumerate(found.responses.items()):
            axes = panel.add_subplot(grid[row, column])
            _response(axes, found.image, maps[column])
            if row == 0:
                axes.set_title(f"stage {stage}", fontsize=11, color=INK)
            if column == 0:
                axes.set_ylabel(stream, fontsize=10, color=STREAM_COLOURS[stream], labelpad=8)
        if stage in found.selection:
            axes = panel.add_subplot(grid[-1, column])
            _bars(axes, found.channels[stage], found.selection[stage])
            if stage == min(found.selection):
                axes.set_ylabel("LGFS, by channel", fontsize=10, color=INK)
    panel.text(LEFT, 0.1 / whole, "\n".join(caption), fontsize=9, color=FAINT, va="bottom", linespacing=1.35)


def _caption(found: Explanation) -> list[str]:
    """What the panels show, a line each."""
    lines, over = [], "all channels"
    if found.words:
        slots = next(iter(found.words.values())).shape[1]
        rest = "; padding has the rest" if slots > len(found.tokens) else ""
        lines.append(
            f"CMAM: {100 / slots:.1f} % is an even share{rest}. Gates: median, middle 50 % and middle 90 % of the"
            " channels; 0.5 leaves a channel as it is."
        )
    if found.selection:
        lines.append(
            "LGFS: share of the spatial (left) and of the temporal stream (right) in the channels, by number, where"
            " they differ most."
        )
        over = (
            "those channels (all, where there is no LGFS)" if len(found.selection) < len(STAGES) else "those channels"
        )
    lines.append(
        f"Responses of the streams: mean over {over}; each map from its lowest (dark) to its highest value (bright)."
    )
    return lines


def _response(axes: Axes, image: np.ndarray, response: np.ndarray) -> None:
    """[h,w] over the frame [H,W,3] in grey, scaled from its lowest to its highest value."""
    height, width = image.shape[:2]
    axes.imshow(image.mean(-1), cmap="gray", vmin=0, vmax=255)
    axes.imshow(response, cmap=RESPONSE_MAP, alpha=0.6, interpolation="bilinear", extent=(0, width, height, 0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _bars(axes: Axes, channels: np.ndarray, weights: np.ndarray) -> None:
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
