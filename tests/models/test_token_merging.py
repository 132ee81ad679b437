"""Matching and merging against plain loops, and the schedule of merges against its promises."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.layers import merging_graph
from models.layers.token_merging import Match, attention_bias, best_match, match, merge, schedule, token_counts


def loop_target(similarity, r, prefix):
    """Positions after bipartite matching, one token at a time: similarity is a list of rows for A over columns for B."""
    rows = [max(range(len(row)), key=lambda j: (row[j], -j)) for row in similarity]
    order = sorted(range(len(rows)), key=lambda i: (-similarity[i][rows[i]], i))
    count = prefix + len(similarity) + len(similarity[0])
    into = {prefix + 2 * i: prefix + 2 * rows[i] + 1 for i in order[:r]}
    place, target = 0, [0] * count
    for token in range(count):
        if token not in into:
            target[token] = place
            place += 1
    for token, receiver in into.items():
        target[token] = target[receiver]
    return target


@st.composite
def matchings(draw):
    """Similarities with many ties: a few integer levels."""
    patches = draw(st.integers(2, 13))
    batch, prefix, r = draw(st.integers(1, 3)), draw(st.integers(0, 5)), draw(st.integers(1, patches // 2))
    a, b = (patches + 1) // 2, patches // 2
    level = st.integers(0, draw(st.integers(0, 4))).map(float)
    row = st.lists(level, min_size=b, max_size=b)
    image = st.lists(row, min_size=a, max_size=a)
    return draw(st.lists(image, min_size=batch, max_size=batch)), r, prefix


@given(matchings())
@settings(max_examples=80, deadline=None)
def test_target_agrees_with_loops_also_for_ties(case):
    similarity, r, prefix = case
    matched = best_match(torch.tensor(similarity), r, prefix)
    assert matched.leaving.shape == (len(similarity) * r,)
    assert matched.target.tolist() == [loop_target(image, r, prefix) for image in similarity]


@given(matchings(), st.integers(0, 2**31), st.booleans())
@settings(max_examples=60, deadline=None)
def test_merge_agrees_with_loops_and_keeps_the_weighted_mean(case, seed, sized):
    similarity, r, prefix = case
    matched = best_match(torch.tensor(similarity), r, prefix)
    target = matched.target
    batch, count = target.shape
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, count, 3, generator=generator, dtype=torch.float64)
    size = torch.randint(1, 6, (batch, count), generator=generator).double() if sized else None
    ones = torch.ones(batch, count, dtype=torch.float64) if size is None else size

    merged, merged_size = merge(x, size, matched)

    assert merged.shape == (batch, count - r, 3)
    for image in range(batch):
        for place in range(count - r):
            members = [token for token in range(count) if target[image, token] == place]
            weight = sum(float(ones[image, token]) for token in members)
            mean = sum(ones[image, token] * x[image, token] for token in members) / weight
            assert merged_size[image, place] == weight
            assert torch.allclose(merged[image, place], mean, atol=1e-6)
            if len(members) == 1:
                assert torch.equal(merged[image, place], x[image, members[0]])
    before = (x * ones.unsqueeze(2)).sum(1)
    after = (merged * merged_size.unsqueeze(2)).sum(1)
    assert torch.allclose(before, after, atol=1e-5)


@given(matchings(), st.integers(0, 2**31), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_graph_for_engines_merges_the_same_tokens(case, seed, sized):
    similarity, r, prefix = case
    generator = torch.Generator().manual_seed(seed)
    scores = torch.tensor(similarity, dtype=torch.float64)
    scores += 1e-3 * torch.rand(scores.shape, generator=generator)  # torch's own top-k takes any of equals
    matched = best_match(scores, r, prefix)
    batch, count = matched.target.shape
    x = torch.randn(batch, count, 3, generator=generator, dtype=torch.float64)
    size = torch.randint(1, 6, (batch, count), generator=generator).double() if sized else None

    expected, expected_size = merge(x, size, matched)
    merged, merged_size, target = merging_graph.merge(x, size, scores, r, prefix)

    assert torch.equal(target, matched.target)
    assert torch.equal(merged_size, expected_size.double())
    assert torch.allclose(merged, expected, atol=1e-6)


def test_match_by_hand():
    # Prefix token, then A0 B0 A1 B1: A1 points exactly as B0 does (length does not count), A0 is 45 degrees off B1.
    keys = torch.tensor([[[9.0, 9.0], [0.0, 1.0], [2.0, 0.0], [7.0, 0.0], [1.0, 1.0]]])
    assert match(keys, 1, prefix=1).target.tolist() == [[0, 1, 2, 2, 3]]
    assert match(keys, 2, prefix=1).target.tolist() == [[0, 2, 1, 1, 2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_image_alone_is_matched_as_in_a_batch(dtype):
    keys = torch.randn(5, 26, 8).to(dtype)
    together = match(keys, 9, prefix=1)
    for image, target in zip(keys, together.target, strict=True):
        alone = match(image.unsqueeze(0), 9, prefix=1)
        assert torch.equal(alone.target[0], target)
        assert torch.equal(target[alone.leaving], alone.receiving)
        assert torch.equal(target[alone.staying], torch.arange(17))
        assert torch.equal(torch.cat([alone.staying, alone.leaving]).sort().values, torch.arange(26))


def test_merge_gradient_is_each_tokens_share():
    matched = Match(torch.tensor([[0, 1, 1]]), torch.tensor([0, 1]), torch.tensor([2]), torch.tensor([1]))
    x = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    size = torch.tensor([[1.0, 3.0, 1.0]], dtype=torch.float64)
    merge(x, size, matched)[0].sum().backward()
    assert x.grad[0, :, 0].tolist() == [1.0, 0.75, 0.25]


def test_bias_makes_a_token_of_size_n_attend_as_n_tokens():
    q, one, other = torch.randn(3, 1, 1, 1, 8).unbind(0)
    fused = torch.nn.functional.scaled_dot_product_attention
    expected = fused(q, torch.cat([one, one, one, other], 2), torch.cat([one, one, one, other], 2))
    bias = attention_bias(torch.tensor([[3.0, 1.0]]), q.dtype)
    pair = torch.cat([one, other], 2)
    assert torch.allclose(fused(q, pair, pair, attn_mask=bias), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("ratio", "tokens", "blocks", "kind", "merges"),
    [
        (156 / 196, 196, 12, "constant", [13] * 12),  # the paper's r = 13
        (0.5, 16, 4, "constant", [2, 2, 2, 2]),
        (0.5, 16, 4, "decreasing", [4, 2, 2, 0]),  # shares 7 5 3 1 of 8, each total rounded
        (0.9, 10, 2, "constant", [5, 2]),  # 9 of 10 is out of reach: every block halves
        (0.75, 16, 2, "decreasing", [8, 4]),  # 9 + 3 is more than half of 16 in the first block
        (0.0, 196, 12, "constant", [0] * 12),
    ],
)
def test_schedule_by_hand(ratio, tokens, blocks, kind, merges):
    assert schedule(ratio, tokens, blocks, kind) == merges


@given(
    st.floats(0, 0.999),
    st.integers(1, 1400),
    st.integers(1, 32),
    st.sampled_from(["constant", "decreasing"]),
)
@settings(max_examples=300, deadline=None)
def test_schedule_reaches_the_ratio_within_what_halving_allows(ratio, tokens, blocks, kind):
    merges = schedule(ratio, tokens, blocks, kind)
    assert len(merges) == blocks
    left, reachable = tokens, tokens
    for merged in merges:
        assert 0 <= merged <= left // 2
        left -= merged
        reachable -= reachable // 2
    assert tokens - left == min(round(ratio * tokens), tokens - reachable)
    assert token_counts(merges, tokens)[-1] == left


@given(st.floats(0, 0.6), st.integers(50, 1000), st.integers(2, 24))
@settings(max_examples=100, deadline=None)
def test_schedules_have_their_shape(ratio, tokens, blocks):
    constant = schedule(ratio, tokens, blocks, "constant")
    if max(constant) - min(constant) > 1:  # allowed only where the end would exceed half of what is left
        assert sum(constant) / blocks > token_counts(constant, tokens)[-2] // 2
    decreasing = schedule(min(ratio, 0.4), tokens, blocks, "decreasing")
    assert all(later <= earlier + 1 for earlier, later in pairwise(decreasing))


def test_schedule_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"tome_ratio is 1\.0; .* 0 <= tome_ratio < 1"):
        schedule(1.0, 196, 12)
    with pytest.raises(ValueError, match="tome_schedule is 'linear'; use 'constant' or 'decreasing'"):
        schedule(0.5, 196, 12, "linear")
