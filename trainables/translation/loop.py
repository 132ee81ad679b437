"""The epoch loop of one translation model. Plain torch, no ray.

loop = Loop(Config(factor=0.5, warmup=800), "translation_transformer", {"width": 256}, "none", data, torch.device("cpu"))
while loop.epoch < loop.config.epochs:
    print(loop.run_epoch())
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import models
from models.layers.precision import has_bfloat16
from models.outputs.decoding import Search, translate
from models.translation_transformer import Transformer
from record import contents
from record.folder import StudyFolder
from trainables import device as hardware
from trainables.data.text.text_data import Pairs
from trainables.task import Figures, Settings
from trainables.training import check_finite, hash_seed
from trainables.translation.batching import Batch, buckets, collate, fixed_size
from trainables.translation.config import Config
from trainables.translation.data import Data, bleu, check_train_size, model_options
from trainables.translation.formulas import learning_rate, smoothed_entropy
from trainables.translation.step_log import StepLog

EVAL_TOKENS = 4096


@dataclass(frozen=True)
class Evaluation:
    """How well a model translates one split."""

    loss: float  # nats per target token, END included
    bleu: float  # 0 to 100
    sequence_accuracy: float  # share of translations that equal the reference
    signature: str  # sacreBLEU's
    translations: list[str]

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))

    def figures(self, split: str) -> Figures:
        """The columns of the split: val_bleu, val_loss, ..."""
        return {
            f"{split}_bleu": self.bleu,
            f"{split}_loss": self.loss,
            f"{split}_perplexity": self.perplexity,
            f"{split}_sequence_accuracy": self.sequence_accuracy,
        }


class Loop:
    """One training: model, optimiser, schedule and epoch, all of which `state_dict` saves.

    Every random number of an epoch follows from (seed, epoch). So a loop that is stopped after an epoch and loaded again
    continues bit for bit like an uninterrupted one, and no state of a generator has to be saved.
    """

    def __init__(
        self,
        config: Config,
        model: str,
        options: Settings,
        weights: str,
        data: Data,
        device: torch.device,
    ) -> None:
        """model: a translation model of models/; options: fields of its Config; weights: "none" or a file."""
        self.config, self.data, self.device = config, data, device
        self.search = Search(config.beams, config.length_penalty)
        check_train_size(data, config.train_size)
        shuffled = np.random.default_rng(config.seed).permutation(len(data.train))
        self.indices = np.sort(shuffled[: config.train_size])  # nested: a smaller size is part of a larger one
        self.steps_before = 0  # batches of the epochs done
        self.epoch = 0
        hardware.reset_memory(device)
        torch.manual_seed(config.seed)
        # Translation models share the interface of the Transformer, which decoding needs.
        self.model = cast(Transformer, models.build(model, weights, **options, **model_options(data)).to(device))
        self.entropy = smoothed_entropy(config.label_smoothing, len(data.target_vocabulary))
        self.optimiser = torch.optim.Adam(self.model.parameters(), betas=(0.9, 0.98), eps=1e-9, fused=True)

    def run_epoch(self) -> Figures:
        """Train one epoch, evaluate on the validation pairs, and return one row of metrics.

        Raises Diverged if a loss of the epoch is not finite.
        """
        torch.manual_seed(hash_seed(self.config.seed, self.epoch))
        batches = self.make_batches(np.random.default_rng(hash_seed(self.config.seed, self.epoch, 1)))
        start = time.perf_counter()
        train_loss, rate, tokens = self._train_epoch(batches)
        train_seconds = time.perf_counter() - start
        check_finite(train_loss, "training", self.epoch + 1)
        start = time.perf_counter()
        result = self.evaluate(self.data.validation)
        check_finite(result.loss, "validation", self.epoch + 1)
        self.epoch += 1
        self.steps_before += len(batches)
        return {
            "epoch": self.epoch,
            **result.figures("val"),
            "train_loss": train_loss,
            "learning_rate": rate,
            "train_seconds": train_seconds,
            "eval_seconds": time.perf_counter() - start,
            "train_tokens_per_second": tokens / train_seconds,
            "peak_memory_mb": hardware.peak_memory_mb(self.device),
            "bleu_signature": result.signature,
        }

    def make_batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The training pairs (indices) of one epoch, batch by batch."""
        if self.config.batch_size is not None:
            return fixed_size(self.indices, self.config.batch_size, rng)
        return buckets(self.data.train, self.indices, self.config.batch_tokens, rng)

    def _train_epoch(self, batches: Sequence[np.ndarray]) -> tuple[float, float, int]:
        """(mean loss without the entropy of the smoothed labels, last learning rate, target tokens)."""
        log = StepLog(self.entropy) if self.config.log == "steps" else None
        self.model.train()
        total = torch.zeros((), device=self.device)
        tokens = 0
        for step, (loss, rate, count) in enumerate(self.train_steps(batches)):
            total += loss
            tokens += count
            if log is not None:
                log.batch(step, step // self.config.accumulation + 1, loss, count, rate)
        mean = total.item() / tokens - self.entropy  # item() is the epoch's only synchronisation
        if log is not None:
            log.epoch(self.device)
        return mean, rate, tokens

    def train_steps(self, batches: Sequence[np.ndarray]) -> Iterator[tuple[Tensor, float, int]]:
        """Train on the batches; yields each one's summed loss (on the device), learning rate and target tokens.

        The optimiser steps at the first batch and after every `accumulation` further ones, as in the report that
        spaces/report_transformer.yaml replicates; the rest of an epoch makes a step too, so that nothing is carried over.
        """
        counts = [int((self.data.train.target.lengths[batch] + 1).sum()) for batch in batches]
        groups = [-(-step // self.config.accumulation) for step in range(len(batches))]
        group_tokens = np.bincount(groups, weights=counts)
        steps, width = self.config.epochs * len(batches), self.model.config.width
        for step, indices in enumerate(batches):
            rate = self.config.factor * learning_rate(
                self.steps_before + step + 1, width, self.config.warmup, self.config.cooldown * steps, steps
            )
            batch = collate(self.data.train, indices, self.config.pad_to, self.device)
            loss = self.loss(batch, self.config.label_smoothing)
            (loss / group_tokens[groups[step]]).backward()
            if step + 1 == len(batches) or groups[step + 1] != groups[step]:
                self.optimise(rate)
            yield loss.detach(), rate, counts[step]

    def optimise(self, rate: float) -> None:
        """One step of the optimiser at this learning rate, with the gradients so far."""
        if self.config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def loss(self, batch: Batch, smoothing: float) -> Tensor:
        """Cross-entropy with the labels, summed over the batch's target tokens."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            logits = self.model(batch.source, batch.target, batch.where)  # (T, target vocabulary)
        return F.cross_entropy(logits.float(), batch.labels, label_smoothing=smoothing, reduction="sum")

    @property
    def uses_bfloat16(self) -> bool:
        """Whether the model computes in bfloat16: if the config allows it and the hardware is made for it."""
        return self.config.bfloat16 and has_bfloat16(self.device)

    @torch.no_grad()
    def evaluate(self, pairs: Pairs) -> Evaluation:
        """Loss and greedy or beam-search translations."""
        self.model.eval()
        batches = buckets(pairs, np.arange(len(pairs)), EVAL_TOKENS, np.random.default_rng(0))
        loss = sum(self.loss(collate(pairs, batch, 0, self.device), 0.0) for batch in batches)
        translations = self.translate(pairs)
        score, signature = bleu(translations, pairs)
        exact = sum(one == other for one, other in zip(translations, pairs.target_text, strict=True))
        return Evaluation(
            float(loss) / int((pairs.target.lengths + 1).sum()),
            score,
            exact / len(pairs),
            signature,
            translations,
        )

    def translate(self, pairs: Pairs, search: Search | None = None) -> list[str]:
        """The model's translations of the source sentences, as plain sentences."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            sources = [pairs.source[i] for i in range(len(pairs))]
            translations = translate(self.model, sources, search or self.search)
        return [self.data.target_vocabulary.write(tokens) for tokens in translations]

    def test(self, test: Pairs, folder: StudyFolder, trial: str) -> Figures:
        """Evaluate the trained model on the test split: its figures. Writes the trial's translations into the folder."""
        result = self.evaluate(test)
        contents.write_translations(folder.translations(trial), result.translations)
        return {**result.figures("test"), "test_sentences": len(test)}

    def state_dict(self) -> dict[str, object]:
        """Everything that the rest of the training depends on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "steps_before": self.steps_before,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken, bit for bit."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.steps_before = state["epoch"], state["steps_before"]
