"""Attention, fused or written out, against softmax and products in double precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.layers import attention
from models.layers.attention import attend, causal_mask

KINDS = ("none", "boolean", "added", "causal", "boolean and causal")


def exact(q, k, v, mask, causal):
    scores = q.double() @ k.double().transpose(2, 3) / q.shape[-1] ** 0.5
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores = scores + mask.double()
    if causal:
        scores = scores.masked_fill(~causal_mask(q.shape[2], k.shape[2]), -torch.inf)
    return scores.softmax(-1) @ v.double()


def case(queries, keys, kind, dtype):
    """(q, k, v, mask, causal) of two sentences or images, two heads of width 8."""
    shape = (2, 2, keys, 8)
    q = torch.randn(2, 2, queries, 8).to(dtype).requires_grad_()
    k, v = (torch.randn(shape).to(dtype).requires_grad_() for _ in range(2))
    mask = None
    if kind.startswith("boolean"):
        mask = torch.rand(2, 1, 1, keys) < 0.6
        mask[..., 0] = True  # every query may attend to something
    elif kind == "added":
        mask = torch.rand(2, 1, 1, keys) * 4
    return q, k, v, mask, "causal" in kind


@contextmanager
def forced(written_out: bool) -> Iterator[None]:
    with patch.object(attention, "_writes_out", lambda q, k: written_out):
        yield


@given(st.integers(1, 6), st.integers(1, 70), st.sampled_from(KINDS), st.booleans(), st.integers(0, 2**31))
@settings(max_examples=80, deadline=None)
def test_both_implementations_compute_attention_and_its_gradients(queries, keys, kind, written_out, seed):
    """Also where keys are padded to fill the softmax's last vector: 9 to 31 more than a multiple of 32."""
    torch.manual_seed(seed)
    q, k, v, mask, causal = case(queries, keys, kind, torch.float32)
    with forced(written_out):
        y = attend(q, k, v, mask, causal)
    expected = exact(q, k, v, mask, causal)
    assert torch.allclose(y.double(), expected, atol=1e-5)
    direction = torch.randn(y.shape)
    gradients = torch.autograd.grad(y, (q, k, v), direction)
    exact_gradients = torch.autograd.grad(expected, (q, k, v), direction.double())
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(gradients, exact_gradients, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_on_a_cpu_is_close_to_the_exact_result(kind, autocast):
    torch.manual_seed(0)
    q, k, v, mask, causal = case(50, 50, kind, torch.float32 if autocast else torch.bfloat16)
    if mask is not None and mask.dtype != torch.bool and not autocast:
        mask = mask.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = attend(q, k, v, mask, causal)
    assert y.dtype == torch.bfloat16
    assert (y.double() - exact(q, k, v, mask, causal)).abs().max() < 0.03


def test_products_are_written_out_only_in_bfloat16_and_up_to_a_size():
    def writes_out(keys, dtype):
        q, k, *_ = case(2, keys, "none", dtype)
        return attention._writes_out(q.requires_grad_(), k)

    assert writes_out(1024, torch.bfloat16)
    assert not writes_out(1025, torch.bfloat16)
    assert not writes_out(64, torch.float32)
    q, k, *_ = case(1024, 1024, "none", torch.bfloat16)
    assert attention._writes_out(q.requires_grad_(), k)
    assert not attention._writes_out(q.expand(2, 2, 1024, 8).repeat(65, 1, 1, 1), k)  # 130 x 2 x 1024 x 1024 scores
    few, many = (torch.zeros(images, 6, 9, 8, dtype=torch.bfloat16) for images in (21, 22))
    assert not attention._writes_out(few, few)  # without gradients, 126 heads
    assert attention._writes_out(many, many)
    assert attention._writes_out(few.requires_grad_(), few)
    with torch.autocast("cpu", torch.float16):
        assert not writes_out(64, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert writes_out(64, torch.float32)


@pytest.mark.parametrize("written_out", [False, True])
def test_dropout_keeps_the_mean(written_out):
    torch.manual_seed(0)
    q, k, v, mask, _ = case(4, 12, "added", torch.float32)
    with forced(written_out), torch.no_grad():
        results = torch.stack([attend(q, k, v, mask, dropout=0.5) for _ in range(4000)])
    assert not torch.equal(results[0], results[1])
    assert torch.allclose(results.mean(0).double(), exact(q, k, v, mask, False), atol=0.1)
