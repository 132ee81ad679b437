"""Training of one translation model: the task's Config, its data, and the epoch loop. Plain torch, no ray.

loop = Loop(Config(factor=0.5, warmup=800), "translation_transformer", {"width": 256}, "none", data, torch.device("cpu"))
while loop.epoch < loop.config.epochs:
    print(loop.run_epoch())
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sacrebleu.metrics import BLEU
from torch import Tensor
from torch.nn import functional as F

import models
from models.inputs.text import Vocabulary
from models.layers.precision import has_bfloat16
from models.outputs.decoding import Search, translate
from trainables import device as hardware
from trainables.data import DataError
from trainables.data.text.text_data import Pairs, TextOptions, load_text
from trainables.training import Diverged, hash_seed
from trainables.translation.batching import Batch, buckets, collate, fixed_size
from trainables.translation.formulas import learning_rate, smoothed_entropy
from trainables.translation.profile import measure, noise
from trainables.translation.step_log import StepLog

METRIC = "val_bleu"  # what early stopping compares and what a model's best trial is best at
SPEED = "inference_sentences_per_second"
MEASURED = (  # the isolated figures of a trial
    SPEED, "latency_ms", "train_step_seconds", "train_tokens_per_second", "train_pairs_per_second", "parameters",
    "gflops_per_sentence", "peak_memory_mb",
)  # fmt: skip
# Those of Config that change the speed.
SPEED_SETTINGS = frozenset({"batch_tokens", "batch_size", "pad_to", "accumulation", "beams", "bfloat16"})
FROM_DATA = frozenset({"source_vocabulary", "target_vocabulary"})  # fields of a model's Config that the data decide
EVAL_TOKENS = 4096


@dataclass(frozen=True)
class Config:
    """Settings of one training. The schedule counts batches, also where several make one step of the optimiser."""

    factor: float = 1.0  # of the learning rate
    warmup: int = 4000  # batches until the learning rate's peak
    cooldown: float = 0.0  # share of all batches over which it falls to 0 in the end; the paper's schedule has none
    train_size: int | None = None  # pairs; None: all
    epochs: int = 10
    batch_tokens: int = 4096  # of a batch's longer side, padding included
    batch_size: int | None = None  # pairs, of any length; None: as many of like length as batch_tokens allows
    pad_to: int = 0  # tokens that every sentence is padded or cut to; 0: to the longest of its batch
    accumulation: int = 1  # batches that one step of the optimiser is made of
    label_smoothing: float = 0.1
    gradient_clip: float = 0.0  # 0: no clipping
    beams: int = 1  # of the translations that BLEU is measured with
    length_penalty: float = 0.6
    bfloat16: bool = True  # where the hardware has it
    log: str = "epochs"  # "steps" also prints a line every 40 batches
    seed: int = 0

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
            ("log", self.log in ("epochs", "steps"), "'epochs' or 'steps'"),
        ):
            if not valid:
                raise ValueError(f"{name} must be {what}, got {getattr(self, name)!r}")
        self.search  # noqa: B018  its own bounds are checked there

    @property
    def search(self) -> Search:
        return Search(self.beams, self.length_penalty)


@dataclass(frozen=True)
class Data:
    """What a search may see: training and validation pairs. The test split is kept apart from it."""

    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    train: Pairs
    validation: Pairs


def load_data(name: str, data_dir: Path, options: TextOptions) -> tuple[Data, Pairs, str]:
    """(training and validation pairs, test pairs, what was really read). Raises DataError."""
    whole = load_text(name, data_dir, options)
    data = Data(whole.source_vocabulary, whole.target_vocabulary, whole.train, whole.validation)
    return data, whole.test, whole.note


def check_train_size(data: Data, train_size: int | None) -> None:
    """DataError if the training pairs are fewer than `train_size`."""
    if train_size is not None and train_size > len(data.train):
        raise DataError(f"train_size {train_size} is impossible: there are {len(data.train)} training pairs")


def model_options(data: Data) -> dict[str, int]:
    """The part of a model's Config that follows from the data."""
    return {"source_vocabulary": len(data.source_vocabulary), "target_vocabulary": len(data.target_vocabulary)}


def shape(data: Data) -> dict[str, int]:
    """What `profile` must know of the data: sizes of the vocabularies, mean tokens of a sentence."""
    means = (round(float(side.lengths.mean())) for side in (data.train.source, data.train.target))
    return model_options(data) | dict(zip(("source_tokens", "target_tokens"), means, strict=True))


def describe(data: Data) -> dict[str, Any]:
    """What environment.json says of the data beside their sizes."""
    return {"languages": [data.source_vocabulary.language, data.target_vocabulary.language]} | shape(data)


def keep(folder: Path, data: Data, test: Pairs) -> None:
    """Write what the analysis needs of the data into the study folder: vocabularies, and references to compare with."""
    known = [*zip(data.validation.source_text, data.validation.target_text, strict=True)]
    known += zip(test.source_text, test.target_text, strict=True)
    vocabularies = data.source_vocabulary.to_dict(), data.target_vocabulary.to_dict()
    content = {"source": vocabularies[0], "target": vocabularies[1], "references": dict(known)}
    (folder / "text.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def epoch_seconds(config: Config, figures: dict[str, float], train: int, validation: int) -> tuple[float, float]:
    """(training, evaluation) seconds of an epoch, from the isolated `figures` and the numbers of pairs."""
    return (config.train_size or train) / figures["train_pairs_per_second"], validation / figures[SPEED]


def profile(config: Config, model: str, options: dict[str, Any], device: torch.device, **shape: int) -> dict[str, Any]:
    """Time one model on made-up sentences of the data's mean lengths; see translation_profile.py."""
    loop = Loop(replace(config, train_size=None), model, options, "none", noise(config, **shape), device)
    return measure(loop, shape["source_tokens"], shape["target_tokens"])


class Loop:
    """One training: model, optimiser, schedule and epoch, which `state_dict` saves whole.

    Every random number of an epoch follows from (seed, epoch), so a loop that is stopped after an epoch and loaded
    again goes on bit for bit as if it had not been stopped, without any generator's state being kept.
    """

    def __init__(
        self,
        config: Config,
        model: str,
        options: dict[str, Any],
        weights: str,
        data: Data,
        device: torch.device,
    ) -> None:
        """model: a translation model of models/; options: fields of its Config; weights: 'none' or a file."""
        self.config, self.data, self.device = config, data, device
        check_train_size(data, config.train_size)
        chosen = np.random.default_rng(config.seed).permutation(len(data.train))
        self.indices = np.sort(chosen[: config.train_size])  # nested: a smaller size is a part of a larger one
        self.steps_before = 0  # batches of the epochs that are done
        self.epoch = 0
        hardware.start_afresh(device)
        torch.manual_seed(config.seed)
        network: Any = models.build(model, weights, **options, **model_options(data))
        self.model = network.to(device)
        self.width: int = self.model.config.width
        self.entropy = smoothed_entropy(config.label_smoothing, len(data.target_vocabulary))
        self.optimiser = torch.optim.Adam(self.model.parameters(), betas=(0.9, 0.98), eps=1e-9, fused=True)

    def run_epoch(self) -> dict[str, Any]:
        """Train one epoch, evaluate on the validation pairs, and return one row of metrics.

        Raises Diverged when a loss of the epoch was not finite.
        """
        torch.manual_seed(hash_seed(self.config.seed, self.epoch))
        batches = self._batches(np.random.default_rng(hash_seed(self.config.seed, self.epoch, 1)))
        log = StepLog(self.entropy) if self.config.log == "steps" else None
        self.model.train()
        begin = time.perf_counter()
        total = torch.zeros((), device=self.device)
        tokens = 0
        for step, (loss, rate, count) in enumerate(self._steps(batches)):
            total += loss
            tokens += count
            if log is not None:
                log.batch(step, step // self.config.accumulation + 1, loss, count, rate)
        train_loss = total.item() / tokens - self.entropy  # the epoch's one synchronisation
        train_seconds = time.perf_counter() - begin
        if not math.isfinite(train_loss):
            raise Diverged(f"diverged: the training loss of epoch {self.epoch + 1} is {train_loss}")
        if log is not None:
            log.epoch(self.device)
        begin = time.perf_counter()
        row = self.evaluate(self.data.validation)
        if not math.isfinite(row["loss"]):
            raise Diverged(f"diverged: the validation loss of epoch {self.epoch + 1} is {row['loss']}")
        self.epoch += 1
        self.steps_before += len(batches)
        return {
            "epoch": self.epoch,
            "val_bleu": row["bleu"],
            "val_loss": row["loss"],
            "val_perplexity": row["perplexity"],
            "val_sequence_accuracy": row["sequence_accuracy"],
            "train_loss": train_loss,
            "learning_rate": rate,
            "train_seconds": train_seconds,
            "eval_seconds": time.perf_counter() - begin,
            "train_tokens_per_second": tokens / train_seconds,
            "peak_memory_mb": hardware.peak_memory_mb(self.device),
            "bleu_signature": row["bleu_signature"],
        }

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        if self.config.batch_size is not None:
            return fixed_size(self.indices, self.config.batch_size, rng)
        return buckets(self.data.train, self.indices, self.config.batch_tokens, rng)

    def _steps(self, batches: Sequence[np.ndarray]) -> Iterator[tuple[Tensor, float, int]]:
        """Train on the batches; yields each one's summed loss (on the device), learning rate and target tokens.

        As in the report, the optimiser steps at the first batch and after every `accumulation` further ones; what is
        left at the end of an epoch makes a step too, so that nothing of it is carried into the next.
        """
        counts = [int((self.data.train.target.lengths[batch] + 1).sum()) for batch in batches]
        groups = [-(-step // self.config.accumulation) for step in range(len(batches))]
        group_tokens = np.bincount(groups, weights=counts)
        steps = self.config.epochs * len(batches)
        for step, batch in enumerate(batches):
            rate = self.config.factor * learning_rate(
                self.steps_before + step + 1, self.width, self.config.warmup, self.config.cooldown * steps, steps
            )
            some = collate(self.data.train, batch, self.config.pad_to, self.device)
            loss = self._loss(some, self.config.label_smoothing)
            (loss / group_tokens[groups[step]]).backward()
            if step + 1 == len(batches) or groups[step + 1] != groups[step]:
                self._optimise(rate)
            yield loss.detach(), rate, counts[step]

    def _optimise(self, rate: float) -> None:
        if self.config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def _loss(self, batch: Batch, smoothing: float) -> Tensor:
        """Cross-entropy with the labels, summed over the batch's target tokens."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            logits = self.model(batch.source, batch.target, batch.where)  # (T, target vocabulary)
        return F.cross_entropy(logits.float(), batch.labels, label_smoothing=smoothing, reduction="sum")

    @property
    def uses_bfloat16(self) -> bool:
        return self.config.bfloat16 and has_bfloat16(self.device)

    @torch.inference_mode()
    def evaluate(self, pairs: Pairs) -> dict[str, Any]:
        """loss (nats a target token, END included), perplexity, BLEU, share of translations that equal the reference.

        BLEU is sacreBLEU's of plain sentences, cased, as its signature says.
        """
        self.model.eval()
        everything = buckets(pairs, np.arange(len(pairs)), EVAL_TOKENS, np.random.default_rng(0))
        loss = sum(self._loss(collate(pairs, batch, 0, self.device), 0.0) for batch in everything)
        mean = float(loss) / int((pairs.target.lengths + 1).sum())
        translations = self.translate(pairs)
        metric = BLEU()
        score = metric.corpus_score(translations, [list(pairs.target_text)]).score
        same = sum(one == other for one, other in zip(translations, pairs.target_text, strict=True))
        return {
            "loss": mean,
            "perplexity": math.exp(min(mean, 700.0)),
            "bleu": score,
            "sequence_accuracy": same / len(pairs),
            "bleu_signature": str(metric.get_signature()),
            "translations": translations,
        }

    def translate(self, pairs: Pairs, search: Search | None = None) -> list[str]:
        """The model's translations of the source sentences, as plain sentences."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            sources = [pairs.source[i] for i in range(len(pairs))]
            found = translate(self.model, sources, search or self.config.search)
        return [self.data.target_vocabulary.write(tokens) for tokens in found]

    def test(self, pairs: Pairs) -> dict[str, Any]:
        """What the confirm phase asks once, of the trained model: the test split's figures."""
        row = self.evaluate(pairs)
        figures = {f"test_{name}": row[name] for name in ("bleu", "loss", "perplexity", "sequence_accuracy")}
        return figures | {"test_sentences": len(pairs), "translations": row["translations"]}

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "steps_before": self.steps_before,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.steps_before = state["epoch"], state["steps_before"]
