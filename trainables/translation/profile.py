"""What a translation model costs: training step, decoding and memory, timed on made-up sentences of the data's lengths.

Nothing else may run meanwhile: that is the caller's part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.inputs.text import END, SPECIALS, Vocabulary
from models.outputs.decoding import translate
from trainables import device as hardware
from trainables import timing
from trainables.data.text.text_data import Pairs, Sentences
from trainables.task import Figures, Settings
from trainables.translation.batching import collate
from trainables.translation.config import Config
from trainables.translation.data import Data
from trainables.translation.loop import Loop

WIDEST_BATCH = 256  # sentences decoded at once


def profile(config: Config, model: str, options: Settings, device: torch.device, shape: Mapping[str, Any]) -> Figures:
    """Time one model on made-up sentences of the data's mean lengths (`shape` of data.py)."""
    data = noise(config, **shape)
    loop = Loop(replace(config, train_size=None), model, options, "none", data, device)
    return measure(loop, shape["source_tokens"], shape["target_tokens"])


def noise(
    config: Config, source_vocabulary: int, target_vocabulary: int, source_tokens: int, target_tokens: int
) -> Data:
    """Data whose training split is one batch of the config's, of random sentences that all have the same lengths."""
    rng = np.random.default_rng(0)
    longest = max(source_tokens, target_tokens) + 1
    count = config.batch_size or max(1, config.batch_tokens // longest)

    def sentences(vocabulary: int, length: int) -> Sentences:
        return Sentences.of(rng.integers(len(SPECIALS), max(vocabulary, 5), (count, length)).tolist())

    pairs = Pairs(sentences(source_vocabulary, source_tokens), sentences(target_vocabulary, target_tokens))
    return Data(_vocabulary(source_vocabulary), _vocabulary(target_vocabulary), pairs, pairs)


def _vocabulary(size: int) -> Vocabulary:
    return Vocabulary("", tuple(map(str, range(size))))


def measure(loop: Loop, source_tokens: int, target_tokens: int) -> Figures:
    """The isolated figures of a `Loop` on `noise` data.

    The training step is the real one, from token positions to the optimiser's step. Decoding goes from token positions
    to those of the translation, at one sentence and at the batch with the best throughput; each translation is made as
    long as the data's mean, since an untrained model does not know when to stop.
    """
    config, device, pairs = loop.config, loop.device, loop.data.train
    everything = np.arange(len(pairs))

    def step() -> None:
        for _ in range(config.accumulation):
            batch = collate(pairs, everything, config.pad_to, device)
            (loop.loss(batch, config.label_smoothing) / len(batch.labels)).backward()
        loop.optimise(1e-4)

    loop.model.train()
    trained = timing.measure(step, device)
    memory = hardware.peak_memory_mb(device)

    with torch.no_grad():
        loop.model.output.bias[END] = -1e9
    search = replace(loop.search, limit=target_tokens + 1)
    rng = np.random.default_rng(1)

    def decode(count: int) -> None:
        many = [rng.integers(len(SPECIALS), max(len(loop.data.source_vocabulary), 5), source_tokens)] * count
        with torch.autocast(device.type, torch.bfloat16, enabled=loop.uses_bfloat16):
            translate(loop.model, many, search, batch=count * search.beams)

    one, best, best_batch = timing.best_batch(lambda size: lambda: decode(size), (1, 16, 64, WIDEST_BATCH), device)
    with FlopCounterMode(display=False) as flops:
        decode(1)
    batch_tokens, seconds = int((pairs.target.lengths + 1).sum()), trained.median / config.accumulation
    return {
        "batch": len(pairs),
        "dtype": "bfloat16" if loop.uses_bfloat16 else "float32",
        "device": device.type,
        "threads": torch.get_num_threads(),
        **timing.inference_figures("sentences", one, best, best_batch),
        "train_step_seconds": seconds,
        "train_tokens_per_second": batch_tokens / seconds,
        "train_pairs_per_second": len(pairs) / seconds,
        "parameters": sum(p.numel() for p in loop.model.parameters()),
        "gflops_per_sentence": flops.get_total_flops() / 1e9,
        "peak_memory_mb": memory,
        "spread": max(best.spread, trained.spread),
    }
