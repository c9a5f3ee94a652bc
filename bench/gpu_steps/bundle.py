"""Is there a bundle to run? One that was given is opened; else one is built, without engines."""

from __future__ import annotations

from cstm.bench.gpu_steps.place import Found, Place, Skipped
from cstm.models.config import CSTMConfig
from cstm.runtime.bundle import Bundle
from cstm.runtime.manifest import MANIFEST

# The network of a dry run, whose weights are random.
SMALL = CSTMConfig.from_preset("tiny", size=64, transformer_layers=1, spatial_width=0.125, temporal_width=0.125)
PRECISIONS, MAX_BATCH = ("fp32", "fp16"), 2


def run(place: Place) -> Found:
    """What the bundle holds. Built of the shipped checkpoint, or in a dry run of a small network."""
    made = not (place.bundle / MANIFEST).is_file()
    if made:
        _build(place)
    bundle = Bundle(place.bundle)
    bundle.golden()
    precisions = ", ".join(bundle.precisions)
    return Found(f"{bundle.config.preset} in {precisions}, {'built here' if made else 'as given'}")


def _build(place: Place) -> None:
    from cstm.export.builder import BuildBundle, BuildOptions
    from cstm.export.sources import Source
    from cstm.models.checkpoint import save_checkpoint
    from cstm.models.seeded import seeded

    checkpoint = None
    if place.dry:
        checkpoint = place.folder / "small.safetensors"
        save_checkpoint(seeded(SMALL), checkpoint)
    options = BuildOptions(Source(checkpoint), place.bundle, PRECISIONS, backend="none", max_batch=MAX_BATCH)
    BuildBundle(options)()


def opened(place: Place) -> Bundle:
    """For the steps that run one. Skipped where there is none."""
    if not (place.bundle / MANIFEST).is_file():
        raise Skipped("no bundle: name one, from `cstm build`, or let the step `bundle` build it first")
    return Bundle(place.bundle)
