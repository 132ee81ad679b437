"""The translation model and its decoding: masks, cached against uncached, beam search against an exhaustive one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from models.inputs.text import BEGIN, END, PADDING, UNKNOWN
from models.layers.attention import causal_mask
from models.layers.transformer import DecoderCache, MultiHeadAttention
from models.outputs.attention_maps import captured
from models.outputs.decoding import Search, beam, greedy, longest_output, padded, translate
from models.translation_transformer import Transformer, source_mask

TINY = {
    "layers": 2, "width": 16, "heads": 2, "feed_forward": 32, "source_vocabulary": 12, "target_vocabulary": 11,
}  # fmt: skip


def random_model(seed: int = 0, **options: object) -> Transformer:
    """Random, but with larger weights than Xavier's, so that its output depends on its input."""
    torch.manual_seed(seed)
    built = models.build("translation_transformer", **(TINY | options)).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(1.7)
    return built


def sources(count: int = 9, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(4, 12, rng.integers(1, 9)) for _ in range(count)]


def test_the_registry_knows_the_task() -> None:
    assert models.task("translation_transformer") == "translation"
    assert models.task("resnet18") == "image_classification"


def test_the_base_model_has_the_papers_size() -> None:
    """Section 3.3 and table 3: 6 + 6 layers and the embeddings; counted by hand from the shapes."""
    with torch.device("meta"):
        base = models.build("translation_transformer", source_vocabulary=8316, target_vocabulary=6384)
    attention, feed_forward, norm = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 512
    encoder, decoder = attention + feed_forward + 2 * norm, 2 * attention + feed_forward + 3 * norm
    embeddings, output = (8316 + 6384) * 512, 6384 * 512 + 6384
    assert sum(p.numel() for p in base.parameters()) == 6 * (encoder + decoder) + embeddings + output
    with torch.device("meta"):
        tied = models.build("translation_transformer", target_vocabulary=6384, tie_weights=True)
    assert tied.output.weight is tied.target_embedding.weight


@torch.no_grad()
def test_embeddings_are_scaled_and_positions_added() -> None:
    network = random_model()
    tokens = torch.tensor([[5, 7]])
    expected = network.source_embedding.weight[tokens[0]] * 4.0 + network.positions[:2]  # sqrt(16)
    assert torch.allclose(network._embed(tokens, network.source_embedding)[0], expected)


@pytest.mark.parametrize("norm", ["pre", "post"])
@torch.no_grad()
def test_padding_and_later_tokens_change_nothing(norm: str) -> None:
    network = random_model(norm=norm)
    source, target = torch.tensor([[5, 6, END]]), torch.tensor([[BEGIN, 4, 5, 6]])
    alone = network(source, target)
    beside = network(
        torch.tensor([[5, 6, END, PADDING, PADDING], [4, 5, 6, 7, END]]),
        torch.tensor([[BEGIN, 4, 5, 6, PADDING], [BEGIN, 9, 9, 9, 9]]),
    )
    assert torch.allclose(alone, beside[:1, :4], atol=1e-5)
    changed = network(source, torch.tensor([[BEGIN, 4, 9, 9]]))
    assert torch.allclose(alone[:, :2], changed[:, :2], atol=1e-5)
    assert not torch.allclose(alone[:, 2], changed[:, 2], atol=1e-3)


@torch.no_grad()
def test_masks_against_a_loop() -> None:
    source = torch.tensor([[5, 6, END, PADDING], [5, 6, 7, END]])
    for row, column in itertools.product(range(2), range(4)):
        assert bool(source_mask(source)[row, 0, column]) == (int(source[row, column]) != PADDING)
    for query, key in itertools.product(range(3), range(5)):
        assert bool(causal_mask(3, 5)[query, key]) == (key <= query)


@torch.no_grad()
def test_chosen_positions_get_their_logits() -> None:
    network = random_model()
    source, target = torch.tensor([[5, END], [6, END]]), torch.tensor([[BEGIN, 4, 5], [BEGIN, 6, PADDING]])
    where = torch.tensor([0, 2, 3])
    assert torch.allclose(network(source, target, where), network(source, target).flatten(0, 1)[where], atol=1e-6)


@torch.no_grad()
def test_the_cache_gives_the_states_of_the_whole_sequence() -> None:
    network = random_model()
    source, target = torch.tensor([[5, 6, END], [7, END, PADDING]]), torch.tensor([[BEGIN, 4, 9, 5], [BEGIN, 6, 6, 7]])
    mask = source_mask(source)
    memory = network.encode(source, mask)
    whole = network.decode(target, memory, mask)
    cache = DecoderCache(2)
    for position in range(4):
        step = network.decode(target[:, position : position + 1], memory, mask, cache)
        assert torch.allclose(step[:, 0], whole[:, position], atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_cached_and_uncached_decoding_write_the_same(beams: int, seed: int) -> None:
    network = random_model(seed)
    written = [
        translate(network, sources(20, seed), Search(beams, cached=cached), batch=batch)
        for cached in (True, False)
        for batch in (4, 64)
    ]
    assert written[0] == written[1] == written[2] == written[3]
    assert len({tuple(tokens) for tokens in written[0]}) > 3
    assert all(token not in (PADDING, UNKNOWN, BEGIN, END) for tokens in written[0] for token in tokens)


@torch.no_grad()
def test_greedy_decoding_against_a_loop() -> None:
    network = random_model(3)
    for sentence in sources(6):
        source = torch.from_numpy(padded([sentence]))
        tokens = [BEGIN]
        while len(tokens) <= longest_output(torch.tensor(source.shape[1])):
            logits = network(source, torch.tensor([tokens]))[0, -1]
            logits[[PADDING, UNKNOWN, BEGIN]] = -math.inf
            if (token := int(logits.argmax())) == END:
                break
            tokens.append(token)
        assert greedy(network, source) == [tokens[1:]]


def test_one_beam_is_greedy() -> None:
    network, source = random_model(5), torch.from_numpy(padded(sources(8)))
    assert beam(network, source, Search(1)) == greedy(network, source)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
@torch.no_grad()
def test_a_beam_that_holds_everything_finds_the_best_sequence(penalty: float) -> None:
    """A loop scores all sequences of up to three words from a vocabulary of two."""
    limit = 3
    network = random_model(1, target_vocabulary=6)
    for sentence in sources(4):
        source = torch.from_numpy(padded([sentence]))
        scores = {}
        for length in range(limit + 1):
            for words in itertools.product((4, 5), repeat=length):
                tokens = [*words, END][:limit]
                logits = network(source, torch.tensor([[BEGIN, *tokens[:-1]]]))[0]
                logits[:, [PADDING, UNKNOWN, BEGIN]] = -math.inf
                log_probability = logits.log_softmax(1)[range(len(tokens)), tokens].sum()
                scores[words] = float(log_probability) / ((5 + len(tokens)) / 6) ** penalty
        assert tuple(beam(network, source, Search(16, penalty, limit=limit))[0]) == max(
            scores, key=lambda words: scores[words]
        )


@torch.no_grad()
def test_captured_attention_is_what_the_fused_kernel_used() -> None:
    """Weights times values, written out, must be what the layer gave to its output matrix."""
    network = random_model()
    source, target = torch.tensor([[5, 6, 7, END], [7, END, PADDING, PADDING]]), torch.tensor([[BEGIN, 4, 9]] * 2)
    plain = network(source, target)
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, MultiHeadAttention)}
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    hooks = [
        layer.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: (inputs[2], output)}))
        for name, layer in layers.items()
    ]
    with captured(network) as maps:
        assert torch.equal(network(source, target), plain)
    for hook in hooks:
        hook.remove()
    assert list(maps) == list(layers) and len(maps) == 6
    for name, weights in maps.items():
        values, output = seen[name]
        mixed = (weights @ layers[name].split(layers[name].value(values))).transpose(1, 2).flatten(2)
        assert torch.allclose(layers[name].out(mixed), output, atol=1e-5)
        assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert maps["encoder.layers.0.attention"][1, :, :, 2:].abs().max() == 0  # padding
    assert maps["decoder.layers.1.self_attention"].triu(1).abs().max() == 0  # the future
    with captured(network) as maps:
        pass
    network(source, target)
    assert not maps


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(4, 11), min_size=1, max_size=6), min_size=1, max_size=5))
def test_a_table_of_sentences_ends_each_and_pads(rows: list[list[int]]) -> None:
    table = padded([np.array(row) for row in rows])
    for line, row in zip(table.tolist(), rows, strict=True):
        assert line == [*row, END, *[PADDING] * (max(map(len, rows)) - len(row))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers must be 1 or more, got 0"),
        ({"dropout": 1.0}, "dropout must be 0 to below 1"),
        ({"width": 10, "heads": 4}, "width 10 is not a multiple of heads 4"),
        ({"norm": "none"}, "norm is 'none'"),
    ],
)
def test_bad_sizes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.build("translation_transformer", **(TINY | options))


def test_a_sequence_that_is_too_long_is_named() -> None:
    network = random_model(max_length=4)
    with pytest.raises(ValueError, match="a sequence of 5 tokens is longer than max_length 4"):
        network(torch.full((1, 5), 5), torch.full((1, 2), 5))
    with pytest.raises(ValueError, match="beams must be 1 or more"):
        Search(0)
