"""Masks drawn over a frame: a colour per sentence, outlines, a legend."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Okabe and Ito's palette, told apart by colour-blind eyes; yellow and black left out.
COLOURS = [(230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (204, 121, 167), (0, 114, 178)]
OPACITY = 0.45
LEGEND_SHARE = 0.35


class Overlay:
    """Draws masks, one colour per sentence, with a legend below and `note` in a banner above.

    The legend is drawn once per frame size.
    """

    def __init__(self, sentences: list[str], note: str | None = None):
        self.sentences, self.note = list(sentences), note
        self._labels: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def draw(self, image: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """RGB uint8 [H,W,3] and masks bool [Q,H,W] -> RGB uint8 [H,W,3]; the image is left as it is."""
        drawn = image.copy()
        for index, mask in enumerate(masks):
            colour = np.array(COLOURS[index % len(COLOURS)], np.float32)
            drawn[mask] = (drawn[mask] * (1 - OPACITY) + colour * OPACITY).astype(np.uint8)
            drawn[outline(mask)] = colour
        labels, opacity = self._label_layer(image.shape[:2])
        return (drawn + (labels - drawn.astype(np.float32)) * opacity).astype(np.uint8)

    def _label_layer(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Colours [H,W,3] and opacities [H,W,1] in 0..1 of legend and banner."""
        if size not in self._labels:
            layer = Image.new("RGBA", size[::-1])
            _draw_labels(ImageDraw.Draw(layer), size, self.sentences, self.note)
            array = np.asarray(layer, np.float32)
            self._labels[size] = array[..., :3], array[..., 3:] / 255
        return self._labels[size]


def outline(mask: np.ndarray) -> np.ndarray:
    """The mask's pixels, bool [H,W], that touch one outside it."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def _draw_labels(draw: ImageDraw.ImageDraw, size: tuple[int, int], sentences: list[str], note: str | None) -> None:
    height, width = size
    text = max(10, height // 26)
    font, line, margin = ImageFont.load_default(size=text), round(text * 1.5), round(text * 0.6)
    most = max(1, int(LEGEND_SHARE * height) // line)
    lines = [(COLOURS[i % len(COLOURS)], sentence) for i, sentence in enumerate(sentences)]
    if len(lines) > most:
        lines = [*lines[: most - 1], (None, f"and {len(lines) - most + 1} more")]
    top = height - len(lines) * line - margin
    fitted = [_fit(sentence, font, width - 3 * margin - text) for _, sentence in lines]
    right = min(width, 3 * margin + text + max((font.getlength(sentence) for sentence in fitted), default=0))
    draw.rectangle((0, top - margin, right, height), fill=(0, 0, 0, 150))
    for row, ((colour, _), sentence) in enumerate(zip(lines, fitted, strict=True)):
        y = top + row * line
        if colour:
            draw.rectangle((margin, y + text // 8, margin + text, y + text // 8 + text), fill=(*colour, 255))
        draw.text((2 * margin + text, y), sentence, font=font, fill=(255, 255, 255, 255))
    if note:
        draw.rectangle((0, 0, width, line + margin), fill=(160, 0, 0, 210))
        draw.text((margin, margin // 2), _fit(note, font, width - 2 * margin), font=font, fill=(255, 255, 255, 255))


def _fit(text: str, font, width: float) -> str:
    """`text`, cut and ended by an ellipsis where it is wider than `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[: max(0, len(text) - max(1, len(text) // 20))]
    return text + "…"
