import dataclasses
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cstm.models.config import PRESETS, CSTMConfig, scaled
from cstm.models.contract import contract


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda p: p.preset)
def test_survives_json(preset):
    assert CSTMConfig.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 100}, "size"),
        ({"streams": ("spatial",)}, "lgfs_stages must be empty"),
        ({"lgfs_stages": (6,)}, "stages from 1 to 5"),
        ({"text": "lstm"}, "gru or transformer"),
        ({"mask_rule": "otsu"}, "mask_rule"),
        ({"decoder_width": -1}, "decoder_width is -1, must be a whole number from 1"),
        ({"frames": 8.0}, "frames is 8.0, must be a whole number"),
        ({"stride": 0}, "stride"),
        ({"max_words": True}, "max_words is True"),
        ({"cmam": 1}, "cmam is 1, must be True or False"),
        ({"spatial_layers": (10**9,) * 4}, "spatial_layers"),
        ({"spatial_layers": 3}, "four whole numbers"),
        ({"temporal_width": float("nan")}, "temporal_width is nan"),
        ({"spatial_width": 0}, "spatial_width is 0"),
        ({"lgfs_stages": (5, 5)}, "different stages"),
        ({"transformer_heads": 3}, "multiple of transformer_heads"),
        ({"vocabulary": 0}, "vocabulary"),
        ({"preset": None}, "preset is None, must be a name"),
    ],
)
def test_impossible_networks_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        CSTMConfig.from_preset("tiny", **changes)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["gru", "spatial"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([field.name for field in dataclasses.fields(CSTMConfig)])


@given(ANYTHING | st.dictionaries(FIELDS | st.text(max_size=5) | st.integers(), ANYTHING, max_size=6))
def test_only_value_errors_leave_and_what_is_taken_has_a_contract(fields):
    with suppress(ValueError):
        contract(CSTMConfig.from_dict(fields))


def test_an_older_files_configuration_has_stride_two():
    fields = PRESETS["tiny"].to_dict()
    del fields["stride"]
    assert CSTMConfig.from_dict(fields) == PRESETS["tiny"] and PRESETS["tiny"].stride == 2


def test_what_is_wrong_is_one_short_line():
    with pytest.raises(ValueError) as raised:
        CSTMConfig.from_dict({"decoder_width": "a\nb" * 10**6, "text_width": [0] * 10**6})
    assert len(str(raised.value).splitlines()) == 1 and len(str(raised.value)) < 400


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="choose from paper, released, tiny, small"):
        CSTMConfig.from_preset("huge")
    with pytest.raises(ValueError, match=r"unknown fields .*widht"):
        CSTMConfig.from_dict({"widht": 3})


def test_full_width_channels_are_the_published_ones():
    paper = PRESETS["paper"]
    assert paper.spatial_channels == (64, 256, 512, 1024, 2048)
    assert paper.temporal_channels == (64, 192, 480, 832, 1024)
    assert scaled(64, 0.01) == 8
