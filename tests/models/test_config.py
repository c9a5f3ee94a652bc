import pytest

from cstm.models.config import PRESETS, CSTMConfig, scaled


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda p: p.preset)
def test_survives_json(preset):
    import json

    assert CSTMConfig.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 100}, "size"),
        ({"streams": ("spatial",)}, "lgfs_stages must be empty"),
        ({"lgfs_stages": (6,)}, "stages from 1 to 5"),
        ({"text": "lstm"}, "gru or transformer"),
        ({"mask_rule": "otsu"}, "mask_rule"),
    ],
)
def test_impossible_networks_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        CSTMConfig.from_preset("tiny", **changes)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="choose from paper, released, tiny"):
        CSTMConfig.from_preset("huge")
    with pytest.raises(ValueError, match="unknown fields widht"):
        CSTMConfig.from_dict({"widht": 3})


def test_full_width_channels_are_the_published_ones():
    paper = PRESETS["paper"]
    assert paper.spatial_channels == (64, 256, 512, 1024, 2048)
    assert paper.temporal_channels == (64, 192, 480, 832, 1024)
    assert scaled(64, 0.01) == 8
