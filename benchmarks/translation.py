"""The Transformer's training step against a straightforward one, and decoding with and without the cache.

python -m benchmarks.translation        # about 4 minutes on 2 cores

The training step is that of the base model (6 + 6 layers, width 512) on sentences as long as Multi30k's: length buckets,
fused attention, logits for real tokens only, bfloat16 where the hardware has it; against 32 pairs padded to 72 tokens,
float32, attention written out, logits everywhere. Decoding is greedy, of 1,000 sentences.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import models
from benchmarks.figure import Figure, at_least, show
from models.inputs.text import END, PADDING, SPECIALS, Vocabulary
from models.outputs.decoding import Search, greedy, padded
from models.translation_transformer import Transformer
from trainables import device as hardware
from trainables.data.text.text_data import Pairs, Sentences
from trainables.translation.batching import collate
from trainables.translation.task import Config, Data, Loop

VOCABULARIES = 8316, 6384  # of Multi30k, German and English
PAIRS, PADDED_TO = 32, 72
ROUNDS = 3
SENTENCES, AT_ONCE = 1000, 250
SMALL = {"layers": 3, "width": 256, "feed_forward": 512, "heads": 4, "norm": "pre"}


def run() -> Iterator[Figure]:
    device = hardware.pick(1)
    yield from training(device)
    yield decoding(device)


def lengths(count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of tokens like those of Multi30k's sentences: mean 12.5, standard deviation 4, from 4 to 40."""
    return rng.gamma(12.5**2 / 16, 16 / 12.5, count).round().clip(4, 40).astype(int)


def training(device: torch.device) -> Iterator[Figure]:
    rng = np.random.default_rng(0)
    source, target = (
        Sentences.of([rng.integers(len(SPECIALS), size, n).tolist() for n in lengths(2000, rng)])
        for size in VOCABULARIES
    )
    pairs = Pairs(source, target)
    source_words, target_words = (Vocabulary("", tuple(map(str, range(size)))) for size in VOCABULARIES)
    data = Data(source_words, target_words, pairs, pairs)
    ours = Loop(Config(batch_tokens=1024), "translation_transformer", {}, "none", data, device)
    plain = Loop(Config(batch_size=PAIRS, bfloat16=False), "translation_transformer", {}, "none", data, device)
    ours.model.train()
    plain.model.train()
    batches, shuffled = ours.make_batches(rng), plain.make_batches(rng)
    speeds: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS + 1):
        own = batches[2 * turn : 2 * turn + 2]
        fast = _tokens_per_second(pairs, own, partial(list, ours.train_steps(own)), device)
        one = [shuffled[turn]]
        slow = _tokens_per_second(pairs, one, partial(_plain_step, plain, one[0]), device)
        if turn:  # the first turn warms up
            speeds[0].append(fast)
            speeds[1].append(slow)
    fast, slow = map(statistics.median, speeds)
    dtype = "bfloat16" if ours.uses_bfloat16 else "float32: this hardware has no bfloat16"
    note = f" ({fast:,.0f} against {slow:,.0f} target tokens/s; {dtype})"
    yield at_least("training step of the base Transformer against batch 32 padded to 72", fast / slow, 6.0, note=note)
    waste = _computed(pairs, shuffled, PADDED_TO) / _computed(pairs, batches, 0)
    yield Figure(
        "tokens that the padded batches compute, against ours: the speed-up possible in float32", f"{waste:.2f}x"
    )


def _computed(pairs: Pairs, batches: list[np.ndarray], pad_to: int) -> int:
    """Source and target tokens of an epoch, padding included."""
    return sum(
        len(batch) * sum(pad_to or int(side.lengths[batch].max()) + 1 for side in (pairs.source, pairs.target))
        for batch in batches
    )


def _tokens_per_second(
    pairs: Pairs, batches: list[np.ndarray], step: Callable[[], object], device: torch.device
) -> float:
    tokens = sum(int((pairs.target.lengths[batch] + 1).sum()) for batch in batches)
    hardware.synchronise(device)
    start = time.perf_counter()
    step()
    hardware.synchronise(device)
    return tokens / (time.perf_counter() - start)


def _plain_step(loop: Loop, indices: np.ndarray) -> None:
    """A step of the same model and optimiser as a straightforward script would take it."""
    batch = collate(loop.data.train, indices, PADDED_TO, loop.device)
    labels = torch.full_like(batch.target.reshape(-1), PADDING)
    labels[batch.where] = batch.labels
    with sdpa_kernel(SDPBackend.MATH):
        logits = loop.model(batch.source, batch.target)  # (B, 72, target vocabulary)
        loss = F.cross_entropy(logits.flatten(0, 1), labels, ignore_index=PADDING, label_smoothing=0.1)
        loss.backward()
    loop.optimise(1e-4)


def decoding(device: torch.device) -> Figure:
    """A random model that writes as many tokens as it reads, because an untrained one does not know when to stop."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    sizes = {"source_vocabulary": VOCABULARIES[0], "target_vocabulary": VOCABULARIES[1]}
    model = cast(Transformer, models.build("translation_transformer", "none", **SMALL, **sizes).eval().to(device))
    with torch.no_grad():
        model.output.bias[END] = -1e9
    counts = np.sort(lengths(SENTENCES, rng))
    sources = [rng.integers(len(SPECIALS), VOCABULARIES[0], n) for n in counts]
    chunks = [
        torch.from_numpy(padded(sources[start : start + AT_ONCE])).to(device)
        for start in range(0, SENTENCES, AT_ONCE)
    ]  # fmt: skip

    def decode(chunks: list[torch.Tensor], cached: bool) -> list[list[int]]:
        return [tokens for s in chunks for tokens in greedy(model, s, Search(cached=cached, limit=s.shape[1]))]

    decode(chunks[:1], True), decode(chunks[:1], False)  # warm up
    seconds: dict[bool, list[float]] = {True: [], False: []}
    translations: dict[bool, list[list[int]]] = {}
    for _ in range(ROUNDS):
        for cached in (True, False):
            start = time.perf_counter()
            translations[cached] = decode(chunks, cached)
            hardware.synchronise(device)
            seconds[cached].append(time.perf_counter() - start)
    ratio = statistics.median(seconds[False]) / statistics.median(seconds[True])
    same = translations[True] == translations[False]
    note = f", {'same tokens' if same else 'OTHER TOKENS'}, {SENTENCES / statistics.median(seconds[True]):,.0f} sentences/s"
    figure = at_least("greedy decoding of 1,000 sentences with cached keys and values", ratio, 3.0, note=note)
    return figure if same else replace(figure, reached=False)


if __name__ == "__main__":
    show(run())
