"""The blocks of "Attention Is All You Need" (Vaswani et al., arXiv 1706.03762).

Shared by the translation model and the scratch ViT. B = batch, N = target length, S = source length, d = width of a
head. Masks are boolean, (B, N or 1, S), True where a query may attend.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.layers.attention import attend


class KeyValues:
    """The projected keys and values of one attention layer, kept while a sequence is decoded token by token."""

    def __init__(self, grows: bool) -> None:
        """grows: whether each new token adds its own (self-attention); otherwise they are projected once, from the memory."""
        self.grows = grows
        self.tensors: tuple[Tensor, Tensor] | None = None  # (B, heads, length, d) each

    def update(self, project: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """All keys and values so far. `project` computes those of the input; it is called only if they are needed."""
        if self.tensors is None:
            self.tensors = project()
        elif self.grows:
            k, v = project()
            self.tensors = torch.cat([self.tensors[0], k], dim=2), torch.cat([self.tensors[1], v], dim=2)
        return self.tensors

    def select(self, rows: Tensor) -> None:
        """Keep these sequences of the batch, in this order."""
        if self.tensors is not None:
            self.tensors = self.tensors[0][rows], self.tensors[1][rows]


class DecoderCache:
    """The keys and values of every decoder layer, and the number of tokens they belong to."""

    def __init__(self, layers: int) -> None:
        self.layers = [(KeyValues(grows=True), KeyValues(grows=False)) for _ in range(layers)]
        self.length = 0

    def select(self, rows: Tensor) -> None:
        """Keep these sequences of the batch, in this order; rows: indices, which may repeat."""
        for pair in self.layers:
            for key_values in pair:
                key_values.select(rows)


class MultiHeadAttention(nn.Module):
    """Multi-head attention (section 3.2.2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: KeyValues | None = None,
    ) -> Tensor:
        """queries (B, N, width), keys and values (B, S, width) -> (B, N, width).

        With a growing cache, `queries` is the newest token only (N = 1), which may attend to everything cached.
        """
        q = self.split(self.query(queries))
        if cache is None:
            k, v = self._project(keys, values)
        else:
            k, v = cache.update(lambda: self._project(keys, values))
            causal = False
        if mask is not None:
            mask = mask.unsqueeze(1)  # (B, 1, N or 1, S), the same for every head
        y = attend(q, k, v, mask, causal)
        return self.out(y.transpose(1, 2).flatten(2))

    def _project(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return self.split(self.key(keys)), self.split(self.value(values))

    def split(self, x: Tensor) -> Tensor:
        """(B, length, width) -> (B, heads, length, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Position-wise feed-forward network (section 3.3): max(0, x W1 + b1) W2 + b2."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))


class Residual(nn.Module):
    """x + dropout(sublayer(x)), normalised afterwards ("post", the paper) or before the sublayer ("pre")."""

    def __init__(self, width: int, dropout: float, norm: str) -> None:
        super().__init__()
        self.pre_norm = is_pre_norm(norm)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre_norm:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float, norm: str) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.attention_residual = Residual(width, dropout, norm)
        self.feed_forward = FeedForward(width, feed_forward)
        self.feed_forward_residual = Residual(width, dropout, norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.attention_residual(x, lambda y: self.attention(y, y, y, mask))
        return self.feed_forward_residual(x, self.feed_forward)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's output (memory), then feed-forward."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float, norm: str) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(width, heads)
        self.self_attention_residual = Residual(width, dropout, norm)
        self.source_attention = MultiHeadAttention(width, heads)
        self.source_attention_residual = Residual(width, dropout, norm)
        self.feed_forward = FeedForward(width, feed_forward)
        self.feed_forward_residual = Residual(width, dropout, norm)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None = None,
        mask: Tensor | None = None,
        cache: tuple[KeyValues | None, KeyValues | None] = (None, None),
    ) -> Tensor:
        own, source = cache
        x = self.self_attention_residual(x, lambda y: self.self_attention(y, y, y, mask, causal=True, cache=own))
        x = self.source_attention_residual(
            x, lambda y: self.source_attention(y, memory, memory, memory_mask, cache=source)
        )
        return self.feed_forward_residual(x, self.feed_forward)


class Encoder(nn.Module):
    """A stack of encoder layers; (B, N, width) -> (B, N, width)."""

    def __init__(
        self, depth: int, width: int, heads: int, feed_forward: int, dropout: float = 0.1, norm: str = "post"
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width, heads, feed_forward, dropout, norm) for _ in range(depth))
        # With pre-norm the residual stream leaves the last layer unnormalised.
        self.norm = nn.LayerNorm(width) if is_pre_norm(norm) else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


class Decoder(nn.Module):
    """A stack of decoder layers; (B, N, width) and memory (B, S, width) -> (B, N, width)."""

    def __init__(
        self, depth: int, width: int, heads: int, feed_forward: int, dropout: float = 0.1, norm: str = "post"
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, feed_forward, dropout, norm) for _ in range(depth))
        self.norm = nn.LayerNorm(width) if is_pre_norm(norm) else nn.Identity()

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None = None,
        mask: Tensor | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """With a cache, x is the newest token only (N = 1)."""
        for number, layer in enumerate(self.layers):
            x = layer(x, memory, memory_mask, mask, cache.layers[number] if cache else (None, None))
        return self.norm(x)


def check_heads(width: int, heads: int) -> None:
    """Raises ValueError where a token's vector cannot be shared out evenly among the heads."""
    if width % heads:
        raise ValueError(f"width {width} is not a multiple of heads {heads}")


def is_pre_norm(norm: str) -> bool:
    """True for "pre", False for "post"; ValueError for anything else."""
    if norm not in ("pre", "post"):
        raise ValueError(f"norm is '{norm}'; use 'post' (the paper's) or 'pre'")
    return norm == "pre"


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """Positional encoding (section 3.5), (length, width): sines in the even columns, cosines in the odd ones."""
    position = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency[: width // 2])
    return table


def initialise_xavier(module: nn.Module) -> None:
    """Xavier-uniform values (Glorot and Bengio 2010) for every matrix; vectors keep their layer's initial values."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
