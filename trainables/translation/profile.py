"""What a translation model costs: training step, decoding and memory, timed on random sentences of the data's lengths.

The caller ensures that nothing else runs meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.inputs.text import END, SPECIALS, Vocabulary
from models.outputs.decoding import translate
from trainables import device as hardware
from trainables import latency, timing
from trainables.data.text.text_data import Pairs, Sentences
from trainables.latency import Latency
from trainables.pace import Yardstick
from trainables.task import Figures, Settings
from trainables.timing import Throughput, Timing
from trainables.translation.batching import collate
from trainables.translation.config import Config
from trainables.translation.data import Data
from trainables.translation.loop import Loop

DECODING_BATCHES = (1, 4, 16, 64, 256, 1024, 4096)  # sentences decoded at once


def profile(
    config: Config,
    model: str,
    options: Settings,
    device: torch.device,
    shape: Mapping[str, int],
    train_threads: int,
    yardstick: Yardstick,
    latency_seconds: float = latency.SECONDS,
) -> Figures:
    """Time one model on random sentences of the data's mean lengths (`shape` of data.py), all at the yardstick's usual
    pace."""
    data = noise(config, **shape)
    loop = Loop(replace(config, train_size=None), model, options, "none", data, device)
    return measure(loop, shape["source_tokens"], shape["target_tokens"], train_threads, yardstick, latency_seconds)


def noise(
    config: Config, source_vocabulary: int, target_vocabulary: int, source_tokens: int, target_tokens: int
) -> Data:
    """One batch of random pairs, sized as this config sizes its batches; all pairs have the same lengths."""
    rng = np.random.default_rng(0)
    padded_length = max(source_tokens, target_tokens) + 1
    count = config.batch_size or max(1, config.batch_tokens // padded_length)

    def sentences(vocabulary: int, length: int) -> Sentences:
        return Sentences.of(rng.integers(len(SPECIALS), max(vocabulary, 5), (count, length)).tolist())

    pairs = Pairs(sentences(source_vocabulary, source_tokens), sentences(target_vocabulary, target_tokens))
    return Data(_vocabulary(source_vocabulary), _vocabulary(target_vocabulary), pairs, pairs)


def _vocabulary(size: int) -> Vocabulary:
    return Vocabulary("", tuple(map(str, range(size))))


def measure(
    loop: Loop,
    source_tokens: int,
    target_tokens: int,
    train_threads: int,
    yardstick: Yardstick,
    latency_seconds: float = latency.SECONDS,
) -> Figures:
    """The isolated figures of a `Loop` on `noise` data.

    The training step goes from token positions to the step of the optimiser, with `train_threads` threads. Decoding goes
    from token positions to those of the translation, at one sentence and at the batch with the best throughput.
    """
    config, pairs = loop.config, loop.data.train
    with hardware.threads(train_threads):
        step = time_step(loop, yardstick)
    memory = hardware.peak_memory_mb(loop.device)
    single, decoding, flops = time_decoding(loop, source_tokens, target_tokens, yardstick, latency_seconds)
    seconds = step.median / config.accumulation
    return {
        "batch": len(pairs),
        "dtype": "bfloat16" if loop.uses_bfloat16 else "float32",
        "device": loop.device.type,
        "threads": torch.get_num_threads(),
        "train_threads": train_threads,
        **decoding.figures("sentences"),
        **single.figures(),
        "train_step_seconds": seconds,
        "train_tokens_per_second": int((pairs.target.lengths + 1).sum()) / seconds,
        "train_pairs_per_second": len(pairs) / seconds,
        "parameters": sum(p.numel() for p in loop.model.parameters()),
        "gflops_per_sentence": flops / 1e9,
        "peak_memory_mb": memory,
        **timing.noise(decoding.timing, step),
    }


def time_step(loop: Loop, yardstick: Yardstick) -> Timing:
    """The step of the optimiser with all its batches, each of which is all pairs."""
    config, pairs = loop.config, np.arange(len(loop.data.train))

    def step() -> None:
        for _ in range(config.accumulation):
            batch = collate(loop.data.train, pairs, config.pad_to, loop.device)
            (loop.loss(batch, config.label_smoothing) / len(batch.labels)).backward()
        loop.optimise(1e-4)

    loop.model.train()
    return timing.measure(step, loop.device, yardstick)


def time_decoding(
    loop: Loop, source_tokens: int, target_tokens: int, yardstick: Yardstick, latency_seconds: float
) -> tuple[Latency, Throughput, int]:
    """(latency of one sentence, throughput, floating point operations for one sentence).

    All translations get the mean length of the data's, because an untrained model does not know when to stop.
    """
    with torch.no_grad():
        loop.model.output.bias[END] = -1e9
    search = replace(loop.search, limit=target_tokens + 1)
    rng = np.random.default_rng(1)

    def decode(count: int) -> None:
        sentences = [rng.integers(len(SPECIALS), max(len(loop.data.source_vocabulary), 5), source_tokens)] * count
        with torch.autocast(loop.device.type, torch.bfloat16, enabled=loop.uses_bfloat16):
            translate(loop.model, sentences, search, batch=count * search.beams)

    single = latency.measure(partial(decode, 1), loop.device, latency_seconds, yardstick)
    throughput = timing.best_batch(partial(partial, decode), DECODING_BATCHES, loop.device, yardstick)
    with FlopCounterMode(display=False) as flops:
        decode(1)
    return single, throughput, flops.get_total_flops()
