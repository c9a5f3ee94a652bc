"""A dataset by name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cstm.data.a2d import ANNOTATIONS, A2DSentences
from cstm.data.jhmdb import JHMDBSentences
from cstm.data.real import SENTENCES as REAL_SENTENCES
from cstm.data.real import RealVideos
from cstm.data.sample import Dataset
from cstm.errors import DatasetError, RequestError
from cstm.files import cache_folder
from cstm.models.config import CSTMConfig

SPRITES = "sprites"


def open_dataset(data: str | Path, split: str, config: CSTMConfig, window: str = "centred", **sprites: Any) -> Dataset:
    """The samples of `split`, at the network's size.

    data: "sprites" (made on first use and kept in the cache; `sprites`: fields of SpriteOptions), or the folder of A2D
    or J-HMDB Sentences, or of real videos (`data.real`). window: see `data.window`. DatasetError or RequestError when
    there is none such.
    """
    if str(data) == SPRITES:
        root, split = cached_sprites(split, **sprites), "train" if split == "train" else "test"
    elif sprites:
        raise RequestError(f"{', '.join(sprites)}: options of sprites, not of {data}")
    else:
        root = Path(data)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; name sprites, or the folder of A2D or J-HMDB Sentences")
    if (root / REAL_SENTENCES).is_file():
        return RealVideos(root, split, config.size, config.frames, config.stride)
    if (root / "puppet_mask").is_dir():
        return JHMDBSentences(root, config.size, config.frames, config.stride, window, split)
    if any((folder / ANNOTATIONS).is_dir() for folder in (root, root / "text_annotations")):
        return A2DSentences(root, split, config.size, config.frames, config.stride, window)
    raise DatasetError(
        f"{root}: holds neither A2D Sentences ({ANNOTATIONS}/), J-HMDB Sentences (puppet_mask/)"
        f" nor real videos ({REAL_SENTENCES})"
    )


def cached_sprites(split: str, **options: Any) -> Path:
    """The folder of a set of sprites, written on first use. A change to the generator or to the cut-outs makes a new
    one."""
    from cstm.data.sprites.options import SpriteOptions
    from cstm.data.sprites.write import write_sprites

    chosen = SpriteOptions(split=split, **options)
    here = Path(__file__).parent
    made_of = sorted(file for part in ("sprites", "art") for file in (here / part).rglob("*") if file.suffix != ".pyc")
    source = b"".join(file.read_bytes() for file in made_of if file.is_file())
    if chosen.cutouts:
        pictures = sorted(file for file in Path(chosen.cutouts).rglob("*") if file.is_file())
        source += repr([(str(file), file.stat().st_size) for file in pictures]).encode()
    key = hashlib.sha256(source + repr(chosen).encode()).hexdigest()[:12]
    folder = cache_folder() / f"sprites-{split}-{key}"
    if not folder.is_dir():
        try:
            write_sprites(folder, chosen)
        except (OSError, RequestError):
            if not folder.is_dir():  # else another process was faster
                raise
    return folder
