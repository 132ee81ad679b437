"""Token merging against the same plain fused ViT-S/16 at 224 px: inference, training step, and what merging itself costs.

python -m benchmarks.tome_speed
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figure import Figure, at_least, at_most, show
from models import token_merging
from models.vit_tome import set_ratio
from trainables import device as hardware
from trainables.data import Images
from trainables.image_classification import Config, Data, Loop
from trainables.timing import alternate

ASKED = {8: (1.3, 1.3), 13: (1.65, 1.6), 16: (1.95, 1.9)}  # r a block: inference and training step, times as fast
SHARE_AT, MOST_SHARE = 13, 0.05
OF_ARITHMETIC = 0.97
BATCH = {"cpu": 16, "cuda": 128}
OPTIONS = {"architecture": "vit_small_patch16_224", "image_size": 224}


def run() -> Iterator[Figure]:
    device = hardware.pick(1)
    batch = BATCH[device.type]
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8), np.arange(batch, dtype=np.int64) % 10)
    data = Data(tuple(map(str, range(10))), images, images)
    loops = {0: loop("vit", data, device)} | {r: loop("vit_tome", data, device) for r in ASKED}
    for r in ASKED:
        merge_a_block(loops[r].model, r)
    note = f", {dtype(loops[0])}, batch {batch}"

    inference = alternate([partial(own.evaluate, images) for own in loops.values()], device, seconds=40)
    allowed = {r: flops(loops[0], images) / flops(own, images) for r, own in loops.items()}
    order, generator = np.arange(batch), torch.Generator()
    for own in loops.values():
        own.model.train()
    steps = alternate([partial(own.train_step, order, 1e-4, generator) for own in loops.values()], device, seconds=60)
    for kind, times, column in (("inference", inference, 0), ("training step", steps, 1)):
        by_r = dict(zip(loops, times, strict=True))
        for r, least in ASKED.items():
            ratio = by_r[0].median / by_r[r].median
            spread = f"{note}, quartiles {max(by_r[0].spread, by_r[r].spread):.0%} apart"
            yield at_least(f"ToMe {kind}, r = {r}", ratio, least[column], note=spread)
            yield at_least(
                f"ToMe {kind}, r = {r}: share of what the arithmetic allows ({allowed[r]:.2f}x)",
                ratio / allowed[r], OF_ARITHMETIC, unit="",
            )  # fmt: skip
    yield from share_of_merging(loops[SHARE_AT], images, device, note)


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


def flops(some: Loop, images: Images) -> int:
    with FlopCounterMode(display=False) as counter:
        some.evaluate(images)
    return counter.get_total_flops()


def share_of_merging(some: Loop, images: Images, device: torch.device, note: str) -> Iterator[Figure]:
    """The blocks with their merging, against matching and merging alone on tensors of the same shapes."""
    model: Any = some.model
    batch, width = len(images.labels), model.embed_dim
    heads, depth = model.blocks[0].attn.num_heads, model.blocks[0].attn.head_dim
    kind = torch.bfloat16 if some.uses_bfloat16 else torch.float32
    patches, prefix = model.patch_embed.num_patches, model.num_prefix_tokens
    merges = [block.merges for block in model.blocks]
    counts = [patches + prefix, *(n + prefix for n in token_merging.token_counts(merges, patches))]
    steps = [
        (
            r,
            torch.randn(batch, heads, tokens, depth, device=device, dtype=kind),
            torch.randn(batch, tokens, width, device=device, dtype=kind),
            torch.ones(batch, tokens, device=device),
        )
        for tokens, r in zip(counts, merges, strict=False)
    ]
    source = torch.arange(counts[0], device=device).expand(batch, -1)
    tokens = torch.randn(batch, counts[0], width, device=device)

    def blocks() -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=some.uses_bfloat16):
            model.blocks(tokens)

    def merging() -> None:
        with torch.inference_mode():
            place = source
            for r, keys, x, size in steps:
                target = token_merging.match(keys.mean(1), r, prefix)
                token_merging.merge(x, size, target, r)
                place = target.gather(1, place)

    model.eval()
    whole, part = alternate([blocks, merging], device, seconds=10)
    share = 100 * part.median / whole.median
    yield at_most(f"merging alone, share of the blocks' time at r = {SHARE_AT}", share, 100 * MOST_SHARE, " %", note)


if __name__ == "__main__":
    show(run())
