"""A contact sheet: some clips as rows of frames, the target's actors outlined, their sentences below."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cstm.data.sprites.dataset import clip_times, make_clip
from cstm.errors import RequestError
from cstm.files import atomic_path
from cstm.models.config import CSTMConfig
from cstm.runtime.paint import COLOURS, outline

SIZE, SHOWN, LINE = 160, (0, 2, 4, 5, 7), 19
TARGET = 4


def write_sheet(out: Path, split: str, seed: int, clips: int, kind: str | None = None) -> Path:
    """Draw clips 0 to `clips` - 1 of (split, seed), two to a row, into the image `out`; `out`."""
    if clips < 1 or out.suffix.lower() not in (".png", ".jpg", ".webp"):
        raise RequestError(f"{out}, {clips} clips: name a .png, .jpg or .webp file and 1 clip or more")
    strips = [_strip(split, seed, number, kind) for number in range(clips)]
    height = max(strip.height for strip in strips)
    rows = (clips + 1) // 2
    sheet = Image.new("RGB", (2 * strips[0].width + 12, rows * (height + 10)), "white")
    for place, strip in enumerate(strips):
        sheet.paste(strip, ((place % 2) * (strip.width + 12), (place // 2) * (height + 10)))
    with atomic_path(out) as temporary:
        sheet.save(temporary, quality=88)
    return out


def _strip(split: str, seed: int, number: int, kind: str | None) -> Image.Image:
    clip = make_clip(split, seed, number, SIZE, clip_times(CSTMConfig.frames, CSTMConfig.stride), (TARGET,), kind)
    frames = clip.frames.copy()
    colours = dict(zip(clip.sentences, COLOURS, strict=False))
    for actor, colour in colours.items():
        frames[TARGET][outline(clip.masks[0, actor], 1)] = colour
    strip = Image.new("RGB", (SIZE * len(SHOWN), SIZE + LINE * 5), "white")
    strip.paste(Image.fromarray(np.hstack(list(frames[list(SHOWN)]))), (0, 0))
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(14)
    for line, (actor, colour) in enumerate(colours.items()):
        draw.rectangle((2, SIZE + line * LINE + 5, 14, SIZE + line * LINE + 16), fill=colour)
        words = f"{clip.sentences[actor].sentence}   ({clip.difficulty(actor)})"
        draw.text((20, SIZE + line * LINE + 2), words, fill="black", font=font)
    return strip
