"""The contract between components: their names, inputs, outputs, shapes and types. Free of torch.

The exporter, the builder, the runtime, the benchmarks and the tests read this table; no other file names a tensor.
An output feeds every input of the same name, so the table is the wiring too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from cstm.errors import ContractError
from cstm.models.config import STAGES, CSTMConfig

BATCH = "batch"
TEXT_ENCODER, FUSION, DECODER = "text_encoder", "fusion", "decoder"
FRAME_GRAPH = "frame_graph"
FRAME, CLIP, SENTENCE, MASK_LOGITS = "frame", "clip", "sentence", "mask_logits"
TOKEN_IDS, TOKEN_MASK, WORD_VECTORS = "token_ids", "token_mask", "word_vectors"
LEVELS = 6


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor. Its first axis is the batch; `shape` holds the other, fixed axes; `dtype` is numpy's name.

    once: whether it is one for the whole batch: its first axis is 1.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    once: bool = False

    def with_batch(self, batch: int) -> tuple[int, ...]:
        """The whole shape for a batch of `batch`."""
        return (1 if self.once else batch, *self.shape)


@dataclass(frozen=True)
class Component:
    """One deployable part of the network. `name` is also its file's stem."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def pick(self, values: dict) -> dict:
        """The component's inputs out of `values`, which may hold more."""
        return {spec.name: values[spec.name] for spec in self.inputs}

    def check_inputs(self, arrays: dict[str, np.ndarray]) -> int:
        """The batch size of `arrays`. ContractError unless names, shapes and dtypes are those declared."""
        return check_arrays(self.name, self.inputs, arrays)


def encoder_name(stream: str) -> str:
    """The component that encodes `stream`."""
    return f"{stream}_encoder"


def feature_name(stream: str, stage: int) -> str:
    """The features of one stream at one stage, as wide as the decoder."""
    return f"{stream}_{stage}"


def fused_name(stage: int) -> str:
    """The two streams at one stage, made one."""
    return f"fused_{stage}"


def language_plan_names(stream: str, stage: int) -> tuple[str, str, str]:
    """The language plan of one CMAM: key, bias and gate."""
    return f"key_{stream}_{stage}", f"bias_{stream}_{stage}", f"gate_{stream}_{stage}"


def contract(config: CSTMConfig) -> dict[str, Component]:
    """The components of a network, by name, in the order in which they run."""
    text_inputs = _text_inputs(config)
    sentence = TensorSpec(SENTENCE, (config.text_width,))
    language_plans = {stream: _language_plan(config, stream) for stream in config.streams}
    features = {stream: _maps(config, [feature_name(stream, stage) for stage in STAGES]) for stream in config.streams}
    pixels = {
        "spatial": TensorSpec(FRAME, (3, config.size, config.size), "uint8"),
        "temporal": TensorSpec(CLIP, (3, config.frames, config.size, config.size), "uint8"),
    }
    fused = _maps(config, [fused_name(stage) for stage in STAGES])
    fusion_inputs = sum(features.values(), ()) + ((sentence,) if config.lgfs_stages else ())
    mask_logits = TensorSpec(MASK_LOGITS, (1, config.size, config.size))
    components = [
        Component(TEXT_ENCODER, text_inputs, (sentence, *sum(language_plans.values(), ()))),
        *(
            Component(encoder_name(stream), (pixels[stream], *language_plans[stream]), features[stream])
            for stream in config.streams
        ),
        Component(FUSION, fusion_inputs, fused),
        Component(DECODER, fused, (mask_logits,)),
    ]
    return {component.name: component for component in components}


def chain_inputs(config: CSTMConfig) -> tuple[TensorSpec, ...]:
    """What the whole chain takes from outside: the inputs that no component makes."""
    return _from_outside(contract(config).values())


def frame_graph(config: CSTMConfig) -> Component:
    """All components but the text encoder linked to one, which runs once a frame.

    Where CMAM brings the sentences in, the pixels are one frame's for all of them.
    """
    components = frame_components(config).values()
    inputs = _from_outside(components)
    inputs = tuple(replace(s, once=config.cmam) if s.name in (FRAME, CLIP) else s for s in inputs)
    return Component(FRAME_GRAPH, inputs, list(components)[-1].outputs)


def frame_components(config: CSTMConfig) -> dict[str, Component]:
    """The components that run for each frame, by name, in order."""
    return {name: component for name, component in contract(config).items() if name != TEXT_ENCODER}


def program(config: CSTMConfig) -> dict[str, Component]:
    """The linked network, in the order in which it runs: the text encoder once a sentence, one graph a frame."""
    return {TEXT_ENCODER: contract(config)[TEXT_ENCODER], FRAME_GRAPH: frame_graph(config)}


def parts(config: CSTMConfig) -> dict[str, Component]:
    """Whatever can be run by itself, by name: the components, and the graph that links those of a frame."""
    return contract(config) | program(config)


def _from_outside(components: Collection[Component]) -> tuple[TensorSpec, ...]:
    made = {spec.name for component in components for spec in component.outputs}
    return tuple({s.name: s for c in components for s in c.inputs if s.name not in made}.values())


def _text_inputs(config: CSTMConfig) -> tuple[TensorSpec, ...]:
    if config.text == "gru":
        return (TensorSpec(WORD_VECTORS, (config.max_words, config.word_vector_width)),)
    return tuple(TensorSpec(name, (config.max_words,), "int64") for name in (TOKEN_IDS, TOKEN_MASK))


def _language_plan(config: CSTMConfig, stream: str) -> tuple[TensorSpec, ...]:
    if not config.cmam:
        return ()
    specs = []
    for stage, channels in zip(STAGES, config.channels(stream), strict=True):
        key, bias, gate = language_plan_names(stream, stage)
        words = config.max_words
        specs += [TensorSpec(key, (channels, words)), TensorSpec(bias, (words,)), TensorSpec(gate, (channels, words))]
    return tuple(specs)


def _maps(config: CSTMConfig, names: list[str]) -> tuple[TensorSpec, ...]:
    sides = (config.size >> stage for stage in STAGES)
    return tuple(TensorSpec(name, (config.decoder_width, side, side)) for name, side in zip(names, sides, strict=True))


def check_arrays(owner: str, specs: tuple[TensorSpec, ...], arrays: dict) -> int:
    """The common batch size of `arrays`. ContractError, in the order names, axes, shapes, dtypes, where they differ.

    `arrays` may hold anything with `shape` and `dtype`; dtypes are compared by name ("float32").
    """
    expected, given = [spec.name for spec in specs], set(arrays)
    if set(expected) != given:
        missing, extra = sorted(set(expected) - given), sorted(given - set(expected))
        raise ContractError(f"{owner}: missing {missing or 'nothing'}, not expected {extra or 'nothing'}")
    batch = 0
    for spec in specs:
        shape = tuple(arrays[spec.name].shape)
        if len(shape) != len(spec.shape) + 1:
            raise ContractError(f"{owner}: {spec.name} has {len(shape)} axes, expected {len(spec.shape) + 1}")
        batch = batch if spec.once else batch or shape[0]
        if shape != spec.with_batch(batch) or shape[0] < 1:
            raise ContractError(f"{owner}: {spec.name} has shape {shape}, expected {spec.with_batch(batch)}")
        dtype = str(arrays[spec.name].dtype).removeprefix("torch.")
        if dtype != spec.dtype:
            raise ContractError(f"{owner}: {spec.name} is {dtype}, expected {spec.dtype}")
    return batch or 1
