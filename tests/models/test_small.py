"""The first checkpoint of small."""

from pathlib import Path

from cstm.models.checkpoint import load_checkpoint
from cstm.models.weights import SHIPPED

SMALL = Path(SHIPPED).with_name("small.safetensors")


def test_it_loads_is_of_its_preset_and_at_most_forty_megabytes():
    model = load_checkpoint(SMALL)
    assert (model.config.preset, model.config.size, model.trained) == ("small", 128, True) and model.tokenizer
    assert SMALL.stat().st_size <= 40e6
