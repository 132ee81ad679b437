"""Token merging against the same plain fused ViT-S/16 at 224 px: inference, training step, and what merging itself costs.

python -m benchmarks.tome_speed

"Fused" is torch's scaled_dot_product_attention, as timm calls it. In bfloat16 on a CPU this project's models do better
(models/attention.py), the plain one too: so what merging alone gains is told apart, with the same attention on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figure import Figure, at_least, at_most, show
from models import attention, token_merging
from models.vit_tome import set_ratio, sum_over_heads
from trainables import device as hardware
from trainables.data import Images
from trainables.image_classification import Config, Data, Loop
from trainables.timing import Timing, alternate

ASKED = {8: (1.3, 1.3), 13: (1.65, 1.6), 16: (1.95, 1.9)}  # r a block: inference and training step, times as fast
SHARE_AT, MOST_SHARE = 13, 0.05
OF_ARITHMETIC = 0.97
BATCH = {"cpu": 16, "cuda": 128}  # of inference: the one with the best throughput on 2 cores
TRAINING_BATCH = 64  # that of the spaces at 224 px
FUSED = -1
Contestants = dict[int, Callable[[], object]]  # by r; 0 is the plain model
OPTIONS = {"architecture": "vit_small_patch16_224", "image_size": 224}


def run() -> Iterator[Figure]:
    device = hardware.pick(1)
    batch, count = BATCH[device.type], TRAINING_BATCH
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (count, 224, 224, 3), dtype=np.uint8), np.arange(count, dtype=np.int64) % 10)
    data = Data(tuple(map(str, range(10))), images, images)
    loops = {0: loop("vit", data, device)} | {r: loop("vit_tome", data, device) for r in ASKED}
    for r in ASKED:
        merge_a_block(loops[r].model, r)

    pixels = torch.from_numpy(np.resize(images.images, (batch, 224, 224, 3))).to(device)
    answers: Contestants = {r: partial(own._logits, pixels) for r, own in loops.items()}
    with ExitStack() as stack:
        for own in loops.values():
            stack.enter_context(own.inference())
        inference = timed(answers, device, seconds=40)
        allowed = {r: flops(answers[0]) / flops(answers[r]) for r in ASKED}
    order, generator = np.arange(count), torch.Generator()
    for own in loops.values():
        own.model.train()
    steps = timed({r: partial(own.train_step, order, 1e-4, generator) for r, own in loops.items()}, device, seconds=60)
    for kind, times, column, size in (("inference", inference, 0, batch), ("training step", steps, 1, count)):
        note = f", {dtype(loops[0])}, batch {size}"
        yield Figure(
            f"plain ViT, {kind}: our attention against torch's fused kernel",
            f"{times[FUSED].median / times[0].median:.2f}x{note}, {size / times[0].median:.1f} images/s",
        )
        for r, least in ASKED.items():
            spread = f"{note}, quartiles {max(times[FUSED].spread, times[r].spread):.0%} apart"
            ratio = times[FUSED].median / times[r].median
            yield at_least(f"ToMe {kind}, r = {r}, against the plain fused ViT", ratio, least[column], note=spread)
            same = times[0].median / times[r].median
            yield at_least(
                f"ToMe {kind}, r = {r}, with the same attention on both sides: share of what the arithmetic allows",
                same / allowed[r], OF_ARITHMETIC, unit="", note=f" ({same:.2f}x of {allowed[r]:.2f}x)",
            )  # fmt: skip
    beyond = inference[SHARE_AT].median - inference[0].median / allowed[SHARE_AT]
    yield from share_of_merging(loops[SHARE_AT], batch, device, beyond)


def loop(model: str, data: Data, device: torch.device) -> Loop:
    config = Config(batch_size=len(data.train.labels), flip=False, shift=0.0)
    return Loop(config, model, OPTIONS, "none", data, device)


def dtype(some: Loop) -> str:
    """The format that the loop computes in on this hardware."""
    return "bfloat16" if some.uses_bfloat16 else "float32 (no bfloat16 in this hardware)"


def merge_a_block(model: Any, r: int) -> None:
    """Let each block merge r tokens, or half of those that are left."""
    patches = left = model.patch_embed.num_patches
    for _ in model.blocks:
        left -= min(r, left // 2)
    assert max(set_ratio(model, (patches - left) / patches)) == r


def timed(calls: Contestants, device: torch.device, seconds: float) -> dict[int, Timing]:
    """Each contestant's timing, in turns; FUSED is contestant 0, the plain model, on torch's fused attention kernel."""

    def fused() -> None:
        with patch.object(attention, "LONGEST_WRITTEN_OUT", 0):
            calls[0]()

    everyone = {FUSED: fused} | calls
    return dict(zip(everyone, alternate([*everyone.values()], device, seconds=seconds), strict=True))


def flops(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def share_of_merging(some: Loop, batch: int, device: torch.device, beyond: float) -> Iterator[Figure]:
    """The blocks with their merging, against matching and merging alone on tensors of the same shapes.

    beyond: seconds a batch that inference takes longer than the arithmetic alone would.
    """
    model: Any = some.model
    width = model.embed_dim
    heads, depth = model.blocks[0].attn.num_heads, model.blocks[0].attn.head_dim
    kind = torch.bfloat16 if some.uses_bfloat16 else torch.float32
    patches, prefix = model.patch_embed.num_patches, model.num_prefix_tokens
    merges = [block.merges for block in model.blocks]
    counts = [patches + prefix, *(n + prefix for n in token_merging.token_counts(merges, patches))]
    steps = [
        (
            r,
            torch.randn(batch, tokens, 3, heads, depth, device=device, dtype=kind).permute(2, 0, 3, 1, 4)[1],
            torch.randn(batch, tokens, width, device=device),  # the residual stream stays float32
            torch.ones(batch, tokens, device=device),
        )
        for tokens, r in zip(counts, merges, strict=False)
    ]
    source = torch.arange(counts[0], device=device).expand(batch, -1)
    tokens = torch.randn(batch, counts[0], width, device=device)

    def merging() -> None:
        place = source
        for r, keys, x, size in steps:
            matched = token_merging.match(sum_over_heads(keys), r, prefix)
            token_merging.merge(x, size, matched)
            place = matched.target.gather(1, place)

    def least() -> None:
        """What any merging does: sum the keys over the heads, compare them, copy the tokens that stay."""
        for r, keys, x, _ in steps:
            summed = sum_over_heads(keys)[:, prefix:]
            summed[:, 0::2] @ summed[:, 1::2].transpose(1, 2)
            x[:, r:].contiguous()

    with some.inference():
        times = timed({0: partial(model.blocks, tokens), 1: merging, 2: least}, device, seconds=15)
    note = f", {dtype(some)}, batch {batch}"
    for name, whole in (("the fused blocks'", times[FUSED]), ("our blocks'", times[0])):
        share = 100 * times[1].median / whole.median
        what = f"merging alone, share of {name} time at r = {SHARE_AT}"
        yield at_most(what, share, 100 * MOST_SHARE, " %", note)
    milliseconds = [1000 * each for each in (beyond, times[1].median, times[2].median)]
    yield Figure(
        f"ToMe inference beyond its arithmetic at r = {SHARE_AT}, merging alone, and the least that any merging does",
        "{:.1f} ms, {:.1f} ms, {:.1f} ms".format(*milliseconds) + note,
    )


if __name__ == "__main__":
    show(run())
