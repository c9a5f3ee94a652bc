"""What type checkers must know of the public names: checked by `make types`, never run.

Names that came by `cstm.__getattr__` alone would be of any type, and a slip would go unnoticed: its `ignore` is needed.
"""

from typing import assert_type

import numpy as np

from cstm import Bundle, CSTMConfig, Segmenter


def work() -> None:
    """A user's program, with a slip."""
    assert_type(Bundle("build/tiny").config, CSTMConfig)
    with Segmenter("build/tiny") as segmenter:
        for frame in segmenter.segment("video.mp4", ["the dog"]):
            assert_type(frame.masks, np.ndarray)
            print(frame.masques)  # type: ignore[attr-defined]
