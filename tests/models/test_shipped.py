"""The checkpoint that ships: it loads, is trained, knows its words, and is small enough to carry."""

from cstm.data.demo import DEMO_SENTENCES, DEMO_SPRITE_SENTENCES
from cstm.data.vocabulary import Tokenizer
from cstm.export.sources import Source
from cstm.models.checkpoint import read_metadata, read_tokenizer
from cstm.models.weights import SHIPPED
from cstm.runtime.text import SentenceReader


def test_the_default_build_takes_a_trained_network_of_at_most_40_megabytes():
    source = Source()
    assert source.file == SHIPPED
    assert source.preset_name() == "tiny"
    assert SHIPPED.stat().st_size <= 40e6
    model = source.load()
    assert model.trained
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_it_knows_every_word_of_the_demo():
    reader = SentenceReader(read_metadata(SHIPPED)[0], Tokenizer.from_str(read_tokenizer(SHIPPED)))
    assert not any(reader(sentence).unknown for sentence in (*DEMO_SENTENCES, *DEMO_SPRITE_SENTENCES))
