"""A log of batches as spaces/report_transformer.yaml wants it: a line every 40 batches, the GPU's state per epoch."""

from __future__ import annotations

import time
from contextlib import suppress

import torch
from torch import Tensor

EVERY_BATCHES = 40


class StepLog:
    """The log of one epoch, on standard output."""

    def __init__(self, entropy: float) -> None:
        """entropy: of the smoothed targets (nats); the log shows the divergence of the loss from it."""
        self.entropy = entropy
        self.start = time.perf_counter()
        self.tokens = 0

    def batch(self, step: int, accumulation_step: int, loss: Tensor, tokens: int, rate: float) -> None:
        """One batch: its number from 0, its summed loss, its target tokens and its learning rate."""
        self.tokens += tokens
        if step % EVERY_BATCHES != 1:
            return
        mean = loss.item() / tokens - self.entropy
        now = time.perf_counter()
        print(
            f"Epoch Step: {step:6d} | Accumulation Step: {accumulation_step:3d} | Loss: {mean:6.2f} | "
            f"Tokens / Sec: {self.tokens / (now - self.start):7.1f} | Learning Rate: {rate:6.1e}",
            flush=True,
        )
        self.start, self.tokens = now, 0

    def epoch(self, device: torch.device) -> None:
        """One line about the GPU; nothing if there is none."""
        if device.type != "cuda":
            return
        free, total = torch.cuda.mem_get_info(device)
        use = ""
        with suppress(ModuleNotFoundError, RuntimeError):  # NVIDIA's management library may be missing
            use = f"use {torch.cuda.utilization(device)} % | "
        print(f"GPU {torch.cuda.get_device_name(device)} | {use}memory {(total - free) / total:.0%}", flush=True)
