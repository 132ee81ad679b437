"""Settings of a translation model's training, and what a space may set for its data. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from record.settings import setting
from trainables.data.text import loading as data_sets
from trainables.data.text.options import TextOptions

__all__ = ["Config", "DataOptions", "data_sets"]


@dataclass(frozen=True)
class DataOptions:
    """What a space may set under `data` besides the name. Translation data have a validation split of their own."""

    text: TextOptions = field(default_factory=TextOptions, metadata={"meaning": "how text becomes tokens"})


@dataclass(frozen=True)
class Config:
    """Settings of one training. The schedule counts batches, even if several make one step of the optimiser."""

    factor: float = setting(1.0, "factor of the paper's learning rate", free=True)
    warmup: int = setting(4000, "batches until the learning rate peaks", free=True)
    cooldown: float = setting(0.0, "share of all batches over which the rate falls to 0 at the end", free=True)
    train_size: int | None = setting(None, "training pairs, nested; null: all", free=True)
    epochs: int = setting(10, "epochs per trial", free=True)
    batch_tokens: int = setting(4096, "tokens per batch on its longer side, padding included")
    batch_size: int | None = setting(None, "pairs per batch, of any length; null: as batch_tokens allows")
    pad_to: int = setting(0, "tokens that every sentence is padded or cut to; 0: to the longest of its batch")
    accumulation: int = setting(1, "batches per step of the optimiser")
    label_smoothing: float = setting(0.1, "label smoothing", free=True)
    gradient_clip: float = setting(0.0, "largest norm of the gradient; 0: no clipping", free=True)
    beams: int = setting(1, "beams of the translations that BLEU is measured with")
    length_penalty: float = setting(0.6, "GNMT's alpha: how much longer translations are favoured", free=True)
    bfloat16: bool = setting(True, "compute in bfloat16 where the hardware does")
    log: str = setting("epochs", "'steps' also prints a line every 40 batches", free=True)
    seed: int = setting(0, "seed of subset, initial weights and order", free=True)

    def __post_init__(self) -> None:
        for name, valid, what in (
            ("factor", self.factor > 0, "above 0"),
            ("warmup", self.warmup >= 1, "1 or more"),
            ("cooldown", 0 <= self.cooldown <= 1, "0 to 1"),
            ("train_size", self.train_size is None or self.train_size >= 1, "1 or more"),
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_tokens", self.batch_tokens >= 1, "1 or more"),
            ("batch_size", self.batch_size is None or self.batch_size >= 1, "1 or more"),
            ("pad_to", self.pad_to >= 0, "0 or more"),
            ("accumulation", self.accumulation >= 1, "1 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 to below 1"),
            ("gradient_clip", self.gradient_clip >= 0, "0 or more"),
            ("beams", self.beams >= 1, "1 or more"),
            ("length_penalty", self.length_penalty >= 0, "0 or more"),
            ("log", self.log in ("epochs", "steps"), "'epochs' or 'steps'"),
        ):
            if not valid:
                raise ValueError(f"{name} must be {what}, got {getattr(self, name)!r}")
