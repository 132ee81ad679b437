"""The Transformer's blocks against attention written out as loops."""

import math

import pytest
import torch

from models.layers.attention import causal_mask
from models.layers.transformer import Decoder, Encoder, FeedForward, MultiHeadAttention, sinusoidal_positions


def loop_attention(layer, queries, keys, values, allowed):
    """Section 3.2 of the paper, one query, head and source position at a time; allowed(b, i, j) says what may be seen."""
    q, k, v = layer.query(queries), layer.key(keys), layer.value(values)
    width = q.shape[-1] // layer.heads
    heads_out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(q.shape[1]):
                seen = [j for j in range(k.shape[1]) if allowed(b, i, j)]
                scores = [math.exp(float(q[b, i, part] @ k[b, j, part]) / math.sqrt(width)) for j in seen]
                for j, score in zip(seen, scores, strict=True):
                    heads_out[b, i, part] += score / sum(scores) * v[b, j, part]
    return layer.out(heads_out)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@torch.no_grad()
def test_attention_agrees_with_loops(causal, padded):
    torch.manual_seed(0)
    layer = MultiHeadAttention(width=12, heads=3)
    x = torch.randn(2, 5, 12)
    lengths = [5, 3] if padded else [5, 5]
    mask = (torch.arange(5) < torch.tensor(lengths).unsqueeze(1)).unsqueeze(1) if padded else None  # (B, 1, S)
    expected = loop_attention(layer, x, x, x, lambda b, i, j: j < lengths[b] and (not causal or j <= i))
    assert torch.allclose(layer(x, x, x, mask, causal=causal), expected, atol=1e-5)


@torch.no_grad()
def test_attention_to_another_sequence_agrees_with_loops():
    torch.manual_seed(0)
    layer = MultiHeadAttention(width=8, heads=2)
    queries, keys, values = torch.randn(2, 3, 8), torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    allowed = torch.rand(2, 3, 6) < 0.7
    allowed[:, :, 0] = True
    expected = loop_attention(layer, queries, keys, values, lambda b, i, j: bool(allowed[b, i, j]))
    assert torch.allclose(layer(queries, keys, values, allowed), expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
@torch.no_grad()
def test_encoder_ignores_padding(norm):
    torch.manual_seed(0)
    encoder = Encoder(2, width=16, heads=4, feed_forward=32, norm=norm).eval()
    x = torch.randn(1, 6, 16)
    mask = (torch.arange(6) < 4).view(1, 1, 6)
    other = x.clone()
    other[:, 4:] = 100.0
    assert torch.allclose(encoder(x, mask)[:, :4], encoder(other, mask)[:, :4])
    assert torch.allclose(encoder(x, mask)[:, :4], encoder(x[:, :4]), atol=1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
@torch.no_grad()
def test_decoder_sees_no_future_and_no_source_padding(norm):
    torch.manual_seed(0)
    decoder = Decoder(2, width=16, heads=4, feed_forward=32, norm=norm).eval()
    x, memory = torch.randn(1, 5, 16), torch.randn(1, 4, 16)
    memory_mask = torch.tensor([[[True, True, True, False]]])
    out = decoder(x, memory, memory_mask)
    later, unseen = x.clone(), memory.clone()
    later[:, 3:] = torch.randn(1, 2, 16)
    unseen[:, 3] = torch.randn(16)
    assert torch.allclose(decoder(later, memory, memory_mask)[:, :3], out[:, :3], atol=1e-6)
    assert not torch.allclose(decoder(later, memory, memory_mask)[:, 3:], out[:, 3:])
    assert torch.allclose(decoder(x, unseen, memory_mask), out)


@torch.no_grad()
def test_post_norm_layer_by_hand():
    torch.manual_seed(0)
    encoder = Encoder(1, width=8, heads=2, feed_forward=16).eval()
    layer, x = encoder.layers[0], torch.randn(2, 3, 8)
    normalise = torch.nn.functional.layer_norm
    middle = normalise(x + layer.attention(x, x, x), (8,))
    expected = normalise(middle + layer.feed_forward(middle), (8,))
    assert torch.allclose(encoder(x), expected, atol=1e-6)


@torch.no_grad()
def test_pre_norm_layer_by_hand():
    torch.manual_seed(0)
    encoder = Encoder(1, width=8, heads=2, feed_forward=16, norm="pre").eval()
    layer, x = encoder.layers[0], torch.randn(2, 3, 8)
    normalise = torch.nn.functional.layer_norm
    y = normalise(x, (8,))
    middle = x + layer.attention(y, y, y)
    expected = normalise(middle + layer.feed_forward(normalise(middle, (8,))), (8,))
    assert torch.allclose(encoder(x), expected, atol=1e-6)


@torch.no_grad()
def test_feed_forward_by_hand():
    layer = FeedForward(1, 2)
    for parameter, value in zip(layer.parameters(), ([[1.0], [-1.0]], [0.5, 0.5], [[2.0, 3.0]], [1.0]), strict=True):
        parameter.copy_(torch.tensor(value))
    assert layer(torch.tensor([[2.0]])).item() == 6.0  # 2 * max(0, 2.5) + 3 * max(0, -1.5) + 1


def test_positions_follow_the_formula():
    table = sinusoidal_positions(50, 6)
    for position in (0, 1, 49):
        for column in range(6):
            angle = position / 10000 ** (2 * (column // 2) / 6)
            expected = math.sin(angle) if column % 2 == 0 else math.cos(angle)
            assert table[position, column].item() == pytest.approx(expected, abs=1e-5)
    assert sinusoidal_positions(4, 5).shape == (4, 5)


def test_causal_mask():
    assert causal_mask(2, 3).tolist() == [[True, False, False], [True, True, False]]


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="width 10 is not a multiple of heads 3"):
        MultiHeadAttention(10, 3)
    with pytest.raises(ValueError, match="norm is 'middle'; use 'post'"):
        Encoder(1, 8, 2, 16, norm="middle")
