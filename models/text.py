"""The text encoders: word vectors through a GRU (the released code), or token ids through BERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cstm.models.config import CSTMConfig

Text: TypeAlias = "Tensor | tuple[Tensor, Tensor]"  # word vectors, or token ids and mask


class GRUText(nn.Module):
    """Word vectors [B,N,300] -> word features [B,N,D] and their mean, the sentence vector [B,D].

    As released: one layer, no bias, LayerNorm, tanh; padding words (zero vectors) take part.
    """

    def __init__(self, config: CSTMConfig):
        super().__init__()
        self.encoder = nn.GRU(config.word_vector_width, config.text_width, bias=False, batch_first=True)
        self.norm = nn.LayerNorm(config.text_width)

    def forward(self, word_vectors: Tensor) -> tuple[Tensor, Tensor]:
        words = torch.tanh(self.norm(self.encoder(word_vectors)[0]))
        return words, words.mean(1)


class TransformerText(nn.Module):
    """Token ids and mask, int64 [B,N] -> word features [B,N,D] (zero where padded) and their mean [B,D]."""

    def __init__(self, config: CSTMConfig):
        super().__init__()
        from transformers import BertConfig, BertModel

        width = config.transformer_width
        bert = BertConfig(
            vocab_size=config.vocabulary,
            hidden_size=width,
            num_hidden_layers=config.transformer_layers,
            num_attention_heads=config.transformer_heads,
            intermediate_size=4 * width,
            max_position_embeddings=512,
            attn_implementation="eager",
        )
        self.encoder = BertModel(bert, add_pooling_layer=False)
        self.project = nn.Linear(width, config.text_width)
        self.norm = nn.LayerNorm(config.text_width)

    def forward(self, text: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        token_ids, token_mask = text
        hidden = self.encoder(input_ids=token_ids, attention_mask=token_mask).last_hidden_state
        mask = token_mask.unsqueeze(-1).to(hidden.dtype)
        words = torch.tanh(self.norm(self.project(hidden))) * mask
        return words, words.sum(1) / mask.sum(1).clamp(min=1)


def text_argument(parts: Sequence[Tensor]) -> Text:
    """What the network takes for a text: the pair of token ids and mask, or the word vectors by themselves."""
    return (parts[0], parts[1]) if len(parts) > 1 else parts[0]


def text_encoder(config: CSTMConfig) -> nn.Module:
    """The text encoder that `config.text` names."""
    return GRUText(config) if config.text == "gru" else TransformerText(config)
