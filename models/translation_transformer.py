"""The translation Transformer of "Attention Is All You Need" (Vaswani et al., arXiv 1706.03762).

B = batch, N = target length, S = source length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from models.layers.transformer import Decoder, DecoderCache, Encoder, initialise_xavier, sinusoidal_positions

TASK = "translation"
PADDING = 0  # the token that fills the shorter sequences of a batch


@dataclass(frozen=True)
class Config:
    """The defaults are the paper's base model; the vocabularies come from the data."""

    layers: int = 6  # of the encoder, and as many of the decoder
    width: int = 512
    feed_forward: int = 2048
    heads: int = 8
    dropout: float = 0.1
    norm: str = "post"  # the paper's; "pre" trains more steadily at a high learning rate
    tie_weights: bool = False  # the output's matrix is the target's embedding (section 3.4)
    max_length: int = 1024  # tokens of a sequence
    source_vocabulary: int = 1000
    target_vocabulary: int = 1000


class Transformer(nn.Module):
    """Source tokens (B, S) and target tokens (B, N) -> logits (B, N, target_vocabulary) of the token after each one.

    The memory's mask hides the source's padding. Padding at the end of a target needs no mask: no earlier position
    sees it, and what is predicted there is not asked for.
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

    def _embed(self, tokens: Tensor, embedding: nn.Embedding, begin: int = 0) -> Tensor:
        end = begin + tokens.shape[1]
        if end > self.config.max_length:
            raise ValueError(f"a sequence of {end} tokens is longer than max_length {self.config.max_length}")
        scaled = embedding(tokens) * math.sqrt(self.config.width)  # section 3.4
        return self.dropout(scaled + self.positions[begin:end])


def build(config: Config, weights: str = "none") -> nn.Module:
    """Raises ValueError for sizes that cannot be."""
    for name in ("layers", "width", "feed_forward", "heads", "max_length", "source_vocabulary", "target_vocabulary"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be 1 or more, got {getattr(config, name)}")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout must be 0 to below 1, got {config.dropout}")
    model = Transformer(config)
    if weights != "none":
        from models.weights import files as weight_files  # imports timm, which the Transformer itself needs not

        weight_files.load(model, weights)
    return model


def source_mask(source: Tensor) -> Tensor:
    """Source tokens (B, S) -> (B, 1, S), True where a token is not padding."""
    return (source != PADDING).unsqueeze(1)
