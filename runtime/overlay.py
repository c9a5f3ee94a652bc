"""Masks drawn over a frame: a colour per sentence, outlines, a legend."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cstm.runtime.paint import Colour, Place, colour_of, outline, paint_onto

LEGEND_SHARE = 0.35
NOT_SEEN = "not seen: "
# Where; what is added, and by what the picture is multiplied before, in 256ths: uint16 [h,w,3].
Label = tuple[Place, np.ndarray, np.ndarray]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
SHADE, ALARM, WHITE = (0, 0, 0, 150), (160, 0, 0, 210), (255, 255, 255, 255)


class Overlay:
    """Draws masks, one colour per sentence, with a legend below and `note` in a banner above.

    Legend and banner are drawn once per frame size, and again when the legend says otherwise who is seen.
    """

    def __init__(self, sentences: list[str], note: str | None = None):
        self.sentences, self.note = list(sentences), note
        self._labels: list[Label] = []
        self._labelled: tuple[tuple[int, int], tuple[bool, ...]] | None = None  # what the labels were drawn for

    def draw(self, image: np.ndarray, masks: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
        """RGB uint8 [H,W,3] and masks bool [Q,H,W] -> RGB uint8 [H,W,3]; the image is left as it is.

        seen: bool [Q]; of the others the legend says that they are not, and masks are outlines. None: all are.
        """
        drawn = np.array(image, order="C")
        self.draw_onto(drawn, masks, seen)
        return drawn

    def draw_onto(self, drawn: np.ndarray, masks: np.ndarray, seen: np.ndarray | None = None) -> None:
        """As `draw`, on the image itself, whose rows must lie one after the other in memory."""
        thickness = _thickness(len(drawn))
        certain = np.ones(len(masks), bool) if seen is None else seen
        paint_onto(
            drawn,
            [mask if sure else outline(mask, thickness) for mask, sure in zip(masks, certain, strict=True)],
            thickness,
        )
        for place, cover, kept in self._labels_for(drawn.shape[:2], tuple(certain.tolist())):
            under = drawn[place] * kept
            under += cover
            drawn[place] = under >> 8

    def _labels_for(self, size: tuple[int, int], seen: tuple[bool, ...]) -> list[Label]:
        """Of a frame of `size`."""
        if self._labelled != (size, seen):
            self._labelled = size, seen
            style = _Style(*size)
            told = [text if sure else NOT_SEEN + text for text, sure in zip(self.sentences, seen, strict=True)]
            legend = _legend(style, told)
            self._labels = [_label(legend, np.s_[size[0] - legend.height :, : legend.width])]
            if self.note:
                banner = _banner(style, self.note)
                self._labels.append(_label(banner, np.s_[: banner.height, :]))
        return self._labels


def _label(picture: Image.Image, place: Place) -> Label:
    pixels = np.asarray(picture).astype(np.uint16)
    weight = pixels[..., 3:] + (pixels[..., 3:] > 127)  # from 0 to 256
    return place, pixels[..., :3] * weight, np.repeat(256 - weight, 3, axis=2)


def _thickness(height: int) -> int:
    return max(1, round(height / 360))


class _Style:
    """Measures of the lettering for one size of frame, in pixels."""

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.text = max(10, height // 30)
        self.font = ImageFont.load_default(size=self.text)
        self.line, self.margin = round(self.text * 1.4), round(self.text * 0.6)

    def write(self, draw: ImageDraw.ImageDraw, left: int, row: int, text: str) -> None:
        """A line of text in the middle of the row's height."""
        middle = self.margin // 2 + row * self.line + self.line // 2
        draw.text((left, middle), text, font=self.font, fill=WHITE, anchor="lm")


def _legend(style: _Style, sentences: list[str]) -> Image.Image:
    left = 2 * style.margin + style.text
    rows = _rows(style, sentences, style.width - left - style.margin)
    right = left + style.margin + max((style.font.getlength(text) for _, text in rows), default=0)
    height = len(rows) * style.line + style.margin // 2 * 2
    legend = Image.new("RGBA", (max(1, min(style.width, round(right))), max(1, min(style.height, height))), SHADE)
    draw = ImageDraw.Draw(legend)
    for row, (colour, text) in enumerate(rows):
        style.write(draw, left, row, text)
        if colour:
            top = style.margin // 2 + row * style.line + (style.line - style.text) // 2
            draw.rectangle((style.margin, top, style.margin + style.text - 1, top + style.text - 1), fill=colour)
    return legend


def _rows(style: _Style, sentences: list[str], width: float) -> list[tuple[Colour | None, str]]:
    """The legend's lines with the colours of their swatches: whole sentences, else cut ones, else only the first."""
    most = max(1, int(LEGEND_SHARE * style.height) // style.line)
    for lines_each in (3, 2, 1):
        rows: list[tuple[Colour | None, str]] = []
        for index, sentence in enumerate(sentences):
            first, *more = _wrap(sentence, style.font, width, lines_each)
            rows += [(colour_of(index), first), *((None, line) for line in more)]
        if len(rows) <= most:
            return rows
    return [*rows[: most - 1], (None, _cut(f"and {len(rows) - most + 1} more", style.font, width))]


def _banner(style: _Style, note: str) -> Image.Image:
    lines = _wrap(note, style.font, style.width - 2 * style.margin, 2)
    banner = Image.new("RGBA", (style.width, min(style.height, len(lines) * style.line + style.margin)), ALARM)
    for row, line in enumerate(lines):
        style.write(ImageDraw.Draw(banner), style.margin, row, line)
    return banner


def _wrap(text: str, font: Font, width: float, most: int) -> list[str]:
    """`text` in at most `most` lines, none wider than `width` pixels; the last one is cut where it does not fit."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most - 1:
        prefixes = [" ".join(words[: n + 1]) for n in range(len(words))]
        count = max(1, bisect_right(prefixes, width, key=font.getlength))
        lines.append(_cut(prefixes[count - 1], font, width))
        words = words[count:]
    return [*lines, _cut(" ".join(words), font, width)] if words or not lines else lines


def _cut(text: str, font: Font, width: float) -> str:
    """`text`, cut and ended by an ellipsis where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    kept = bisect_right(range(1, len(text)), width, key=lambda n: font.getlength(text[:n] + "…"))
    return text[:kept].rstrip() + "…"
