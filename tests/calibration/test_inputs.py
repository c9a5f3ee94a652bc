import numpy as np

from cstm.calibration.inputs import component_inputs, real_samples
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.models.contract import chain_inputs
from cstm.runtime.backends import backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.preprocess import clip_windows
from cstm.runtime.video import open_video


def test_real_frames_and_sentences_through_the_components_before(bundle_path):
    bundle = Bundle(bundle_path)
    samples = real_samples(bundle.config, bundle.reader, DEMO_VIDEO, list(DEMO_SENTENCES), 3)
    for spec in chain_inputs(bundle.config):
        assert samples[spec.name].shape == spec.with_batch(3) and str(samples[spec.name].dtype) == spec.dtype
    np.testing.assert_array_equal(samples["frame"], samples["clip"][:, :, 4])
    assert np.array_equal(samples["token_ids"][0], samples["token_ids"][2]), "sentences take turns"
    assert not np.array_equal(samples["token_ids"][0], samples["token_ids"][1])
    assert not np.array_equal(samples["frame"][0], samples["frame"][1]), "frames are spread over the video"
    with open_video(DEMO_VIDEO) as video:
        windows = list(clip_windows(video, bundle.config, every=10))
    for place, index in ((0, 0), (-1, -1)):
        np.testing.assert_array_equal(samples["clip"][place], windows[index][2])
    with Chain(bundle.config, backend("onnxruntime").open(bundle, "fp32")) as chain:
        inputs = dict(component_inputs(chain, samples))
        assert list(inputs) == list(chain.components)
        for name, component in chain.components.items():
            assert component.check_inputs(inputs[name]) == 3
        logits = chain.sessions["decoder"].run(inputs["decoder"])["mask_logits"]
        np.testing.assert_allclose(logits, chain(samples), atol=1e-5)
