"""Components in a row = the whole network, for every preset and every ablation."""

import numpy as np
import pytest
import torch

from cstm.models.components import component_modules
from cstm.models.config import PRESETS, CSTMConfig
from cstm.models.contract import MASK_LOGITS, chain_inputs, contract
from cstm.models.seeded import seeded

TINY = {"size": 64}
NARROW = {"size": 64, "spatial_width": 0.25, "temporal_width": 0.25}  # as deep as they are
CONFIGS = {
    "paper": ("paper", NARROW),
    "released": ("released", NARROW),
    "tiny": ("tiny", {}),
    "small": ("small", TINY),
    "LGFS {}": ("tiny", TINY | {"lgfs_stages": ()}),
    "LGFS {5}": ("tiny", TINY | {"lgfs_stages": (5,)}),
    "LGFS {5,4,3}": ("tiny", TINY | {"lgfs_stages": (5, 4, 3)}),
    "LGFS all": ("tiny", TINY),
    "spatial only": ("tiny", TINY | {"streams": ("spatial",), "lgfs_stages": ()}),
    "temporal only": ("tiny", TINY | {"streams": ("temporal",), "lgfs_stages": ()}),
    "CMAM off": ("tiny", TINY | {"cmam": False}),
    "three convolutions": ("tiny", TINY | {"head_convs": 3}),
    "16 frames": ("tiny", TINY | {"frames": 16}),
}


def inputs_for(config, batch=2):
    rng = np.random.default_rng(1)
    clip = rng.integers(0, 256, (batch, 3, config.frames, config.size, config.size), dtype=np.uint8)
    values = {"clip": clip, "frame": clip[:, :, config.frames // 2]}
    if config.text == "gru":
        values["word_vectors"] = 0.4 * rng.standard_normal((batch, config.max_words, 300)).astype(np.float32)
    else:
        values["token_ids"] = rng.integers(0, config.vocabulary, (batch, config.max_words))
        values["token_mask"] = (np.arange(config.max_words) < [[5], [9]]).astype(np.int64)
    return {spec.name: torch.from_numpy(np.ascontiguousarray(values[spec.name])) for spec in chain_inputs(config)}, clip


def run_components(model, inputs):
    values, modules = dict(inputs), component_modules(model)
    for name, component in contract(model.config).items():
        outputs = modules[name](*[values[spec.name] for spec in component.inputs])
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for spec, output in zip(component.outputs, outputs, strict=True):
            assert tuple(output.shape) == spec.with_batch(2), spec.name
            values[spec.name] = output
    return values


@pytest.mark.parametrize("name", CONFIGS)
def test_components_equal_the_whole(name):
    preset, changes = CONFIGS[name]
    model = seeded(CSTMConfig.from_preset(preset, **changes))
    inputs, clip = inputs_for(model.config)
    text = tuple(inputs[k] for k in ("word_vectors", "token_ids", "token_mask") if k in inputs)
    with torch.inference_mode():
        whole = model.response_maps(torch.from_numpy(clip).float() / 255, text if len(text) > 1 else text[0])
        values = run_components(model, inputs)
    assert len(whole) == 6
    assert whole[-1].std() > 0.05, "logits that do not vary prove nothing"
    torch.testing.assert_close(values[MASK_LOGITS][:, 0], whole[-1], atol=1e-4, rtol=0)


def test_the_sentence_matters():
    model = seeded(CSTMConfig.from_preset("tiny", size=64))
    inputs, _ = inputs_for(model.config)
    with torch.inference_mode():
        first = run_components(model, inputs)[MASK_LOGITS]
        other = run_components(model, inputs | {"token_ids": inputs["token_ids"].flip(0)})[MASK_LOGITS]
    assert (first - other).abs().max() > 1e-2


def test_every_preset_has_a_name():
    assert {preset.preset for preset in PRESETS.values()} == set(PRESETS)


def test_the_folded_keys_keep_batch_norms_epsilon():
    """Where a variance is as small as epsilon, a fold without it is far off."""
    model = seeded(CSTMConfig.from_preset("tiny", size=64))
    for encoder in model.encoders.values():
        for cmam in encoder.cmam:
            norm = cmam.key[1]
            norm.running_var.copy_(torch.linspace(0, 4 * norm.eps, len(norm.running_var)))
    inputs, clip = inputs_for(model.config)
    with torch.no_grad():
        text = (inputs["token_ids"], inputs["token_mask"])
        whole = model(torch.from_numpy(clip).float() / 255, text)[-1]
        parts = run_components(model, inputs)[MASK_LOGITS]
    torch.testing.assert_close(parts[:, 0], whole, atol=1e-4, rtol=0)
