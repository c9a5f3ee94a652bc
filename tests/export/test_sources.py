"""Where a build's words come from."""

import pytest

from cstm.data.vocabulary import Tokenizer, wordpiece_tokenizer
from cstm.errors import CheckpointError
from cstm.export.sources import Source
from cstm.models.checkpoint import load_checkpoint, save_checkpoint
from cstm.models.config import CSTMConfig


def test_words_must_come_with_the_weights(tmp_path, small_checkpoint):
    released, tiny = CSTMConfig.from_preset("released"), CSTMConfig.from_preset("tiny")
    trained, source = {"kind": "trained"}, Source(checkpoint=small_checkpoint)
    with pytest.raises(CheckpointError, match="--glove"):
        source.write_text_files(released, trained, tmp_path)
    with pytest.raises(CheckpointError, match="--tokenizer"):
        source.write_text_files(tiny, trained, tmp_path)
    with pytest.raises(CheckpointError, match="tokens, the network 30"):
        source.write_text_files(CSTMConfig.from_preset("tiny", vocabulary=30), {"kind": "seeded"}, tmp_path)
    model = load_checkpoint(small_checkpoint)
    model.tokenizer = wordpiece_tokenizer().to_str()
    save_checkpoint(model, tmp_path / "own.safetensors")
    Source(tmp_path / "own.safetensors").write_text_files(tiny, trained, tmp_path)
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).to_str() == model.tokenizer
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"not a tokenizer\.json"):
        Source(small_checkpoint, tokenizer=tmp_path / "broken.json").write_text_files(tiny, trained, tmp_path)
