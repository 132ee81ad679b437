"""The translation Transformer of "Attention Is All You Need" (Vaswani et al., arXiv 1706.03762).

B = batch, N = target length, S = source length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from models import check_counts, check_rates
from models.inputs.text import PADDING
from models.layers.transformer import (
    Decoder,
    DecoderCache,
    Encoder,
    check_heads,
    initialise_xavier,
    is_pre_norm,
    sinusoidal_positions,
)
from models.weights import files
from record import tasks
from record.settings import setting

TASK = tasks.TRANSLATION.name


@dataclass(frozen=True)
class Config:
    """The defaults are the paper's base model; the vocabularies come from the data."""

    layers: int = setting(6, "layers of the encoder, and as many of the decoder")
    width: int = setting(512, "length of a token's vector, a multiple of heads")
    feed_forward: int = setting(2048, "hidden units of a layer's feed-forward network")
    heads: int = setting(8, "attention heads per layer")
    dropout: float = setting(0.1, "dropout of the embeddings and after every sublayer", free=True)
    norm: str = setting(
        "post", "layer norm after each sublayer (post, the paper's) or before it (pre, steadier at a high lr)"
    )
    tie_weights: bool = setting(False, "share one matrix between the output and the target's embedding")
    max_length: int = setting(1024, "tokens that a sequence may have at most")
    source_vocabulary: int = setting(1000, "tokens of the source language", from_data=True)
    target_vocabulary: int = setting(1000, "tokens of the target language", from_data=True)

    def __post_init__(self) -> None:
        check_counts(
            layers=self.layers, width=self.width, feed_forward=self.feed_forward, heads=self.heads,
            max_length=self.max_length, source_vocabulary=self.source_vocabulary,
            target_vocabulary=self.target_vocabulary,
        )  # fmt: skip
        check_rates(dropout=self.dropout)
        check_heads(self.width, self.heads)
        is_pre_norm(self.norm)


class Transformer(nn.Module):
    """Source tokens (B, S) and target tokens (B, N) -> logits (B, N, target_vocabulary) of the token after each one.

    The memory's mask hides the source's padding. Padding at the end of a target needs no mask: no earlier position
    sees it, and nobody uses what is predicted there.
    """

    positions: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        stack = (config.layers, config.width, config.heads, config.feed_forward, config.dropout, config.norm)
        self.config = config
        self.source_embedding = nn.Embedding(config.source_vocabulary, config.width)
        self.target_embedding = nn.Embedding(config.target_vocabulary, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(*stack)
        self.decoder = Decoder(*stack)
        self.output = nn.Linear(config.width, config.target_vocabulary)
        self.register_buffer("positions", sinusoidal_positions(config.max_length, config.width), persistent=False)
        initialise_xavier(self)
        if config.tie_weights:
            self.output.weight = self.target_embedding.weight

    def forward(self, source: Tensor, target: Tensor, where: Tensor | None = None) -> Tensor:
        """where: flat positions (T,) in the targets (row * N + column) to give only their logits, (T, V)."""
        mask = source_mask(source)
        states = self.decode(target, self.encode(source, mask), mask)
        return self.output(states if where is None else states.flatten(0, 1)[where])

    def encode(self, source: Tensor, mask: Tensor) -> Tensor:
        """Source tokens (B, S) and their mask (B, 1, S) -> memory (B, S, width)."""
        return self.encoder(self._embed(source, self.source_embedding), mask)

    def decode(self, target: Tensor, memory: Tensor, mask: Tensor, cache: DecoderCache | None = None) -> Tensor:
        """Target tokens (B, N) -> states (B, N, width), which `output` turns into logits.

        With a cache, `target` is the one token that follows those it holds (N = 1).
        """
        x = self._embed(target, self.target_embedding, cache.length if cache else 0)
        if cache is not None:
            cache.length += 1
        return self.decoder(x, memory, mask, cache=cache)

    def _embed(self, tokens: Tensor, embedding: nn.Embedding, start: int = 0) -> Tensor:
        end = start + tokens.shape[1]
        if end > self.config.max_length:
            raise ValueError(f"a sequence of {end} tokens is longer than max_length {self.config.max_length}")
        scaled = embedding(tokens) * math.sqrt(self.config.width)  # section 3.4
        return self.dropout(scaled + self.positions[start:end])


def build(config: Config, weights: str = "none") -> nn.Module:
    model = Transformer(config)
    if weights != "none":
        files.load(model, weights)
    return model


def source_mask(source: Tensor) -> Tensor:
    """Source tokens (B, S) -> (B, 1, S), True where a token is not padding."""
    return (source != PADDING).unsqueeze(1)
