"""The epoch loop of one image classifier. Plain torch, no ray.

loop = Loop(Config(lr=1e-3, train_size=500), "resnet18", {"image_size": 32}, "none", data, torch.device("cpu"))
while loop.epoch < loop.config.epochs:
    print(loop.run_epoch())
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import models
from models.inputs.preprocessing import prepare
from models.layers.precision import has_bfloat16
from record import contents
from record.folder import StudyFolder
from trainables import device as hardware
from trainables.data.images import Images
from trainables.data.images.splits import subset
from trainables.image_classification.augmentation import augment
from trainables.image_classification.config import Config
from trainables.image_classification.data import Data, model_options
from trainables.task import Figures, Settings
from trainables.training import check_finite, hash_seed

EVAL_BATCH = 256


def learning_rate(step: int, config: Config, steps_per_epoch: int) -> float:
    """Linear warm-up over `warmup_epochs`, then half a cosine down to 0 at the end (arXiv 1608.03983)."""
    total = config.epochs * steps_per_epoch
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total - 1)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def number_of_batches(size: int, batch_size: int) -> int:
    """Into how many batches of nearly equal size the training images are split: none of one image, if that can be."""
    return max(1, size // 2) if batch_size == 2 else math.ceil(size / batch_size)


def balanced_accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of the share of their images that is classified right; classes without images do not count.

    Both: (N,) classes. Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
    """
    images = np.bincount(labels)
    right = np.bincount(labels[predictions == labels], minlength=len(images))
    return float((right[images > 0] / images[images > 0]).mean())


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
        """model: a file of models/; options: fields of its Config; weights: "none", "timm" or a file."""
        self.config, self.data, self.device = config, data, device
        size = config.train_size or len(data.train.labels)
        self.indices = subset(data.train.labels, size, config.seed)
        self.steps_per_epoch = number_of_batches(size, config.batch_size)
        self.accumulation = config.accumulation
        self.eval_batch = EVAL_BATCH
        self.epoch = 0
        hardware.reset_memory(device)
        torch.manual_seed(config.seed)
        self.model = models.build(model, weights=weights, **model_options(data), **options)
        mean, std = models.normalisation(self.model)
        self.mean, self.std = torch.tensor(mean, device=device), torch.tensor(std, device=device)
        self.image_size = int(options.get("image_size") or models.config_class(model)().image_size)
        normalises_batches = any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in self.model.modules())
        self.smallest_part = 2 if normalises_batches else 1  # images; a batch of one cannot be normalised
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.forward: Callable[[Tensor], Tensor] = self.model
        if config.compile:
            # A worker compiles one model after another from the same code; after a few, torch silently gives up.
            torch.compiler.reset()
            self.forward = torch.compile(self.model)
        decayed = [p for p in self.model.parameters() if p.requires_grad and p.ndim > 1]
        others = [p for p in self.model.parameters() if p.requires_grad and p.ndim <= 1]
        groups: list[dict[str, object]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)

    def run_epoch(self) -> Figures:
        """Train one epoch, evaluate on the validation images, and return one row of metrics.

        Raises Diverged if a loss of the epoch is not finite.
        """
        start = time.perf_counter()
        train_loss, lr = self._train_epoch()
        train_seconds = time.perf_counter() - start
        check_finite(train_loss, "training", self.epoch + 1)
        start = time.perf_counter()
        accuracy, loss, _, _ = self.evaluate(self.data.validation)
        check_finite(loss, "validation", self.epoch + 1)
        self.epoch += 1
        row: Figures = {
            "epoch": self.epoch,
            "val_accuracy": accuracy,
            "val_loss": loss,
            "train_loss": train_loss,
            "learning_rate": lr,
            "train_seconds": train_seconds,
            "eval_seconds": time.perf_counter() - start,
            "train_images_per_second": len(self.indices) / train_seconds,
            "peak_memory_mb": hardware.peak_memory_mb(self.device),
            "accumulation": self.accumulation,
        }
        if self.accumulation > self.config.accumulation:
            row["note"] = (
                f"out of memory: batches of {self.config.batch_size} are computed in {self.accumulation} parts"
            )
        return row

    def _train_epoch(self) -> tuple[float, float]:
        """Train on each image once: (mean loss, last learning rate)."""
        torch.manual_seed(hash_seed(self.config.seed, self.epoch))
        generator = torch.Generator().manual_seed(hash_seed(self.config.seed, self.epoch, 1))
        order = self.indices[torch.randperm(len(self.indices), generator=generator).numpy()]
        self.model.train()
        total = torch.zeros((), device=self.device)
        for step, batch in enumerate(np.array_split(order, self.steps_per_epoch)):
            lr = learning_rate(self.epoch * self.steps_per_epoch + step, self.config, self.steps_per_epoch)
            total += self.train_step(batch, lr, generator) * len(batch)
        return total.item() / len(order), lr  # item() is the epoch's only synchronisation

    def train_step(self, batch: np.ndarray, lr: float, generator: torch.Generator) -> Tensor:
        """One step of the optimiser on the training images `batch` (indices): the mean loss, not synchronised.

        Running out of memory halves the micro-batch, for this and all later steps, and repeats the step.
        """
        images = torch.from_numpy(self.data.train.images[batch]).to(self.device, non_blocking=True)
        labels = torch.from_numpy(self.data.train.labels[batch]).to(self.device, non_blocking=True)
        images = augment(images, generator, self.config.flip, self.config.shift)
        while True:
            try:
                loss = self._gradients(images, labels)
                break
            except torch.OutOfMemoryError:
                if self.accumulation >= len(batch):
                    raise
            # Retry outside the except block: the traceback keeps the failed step's tensors alive.
            self.accumulation *= 2
            torch.cuda.empty_cache()
        if self.config.gradient_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        return loss

    def _gradients(self, images: Tensor, labels: Tensor) -> Tensor:
        """Leave the gradients of the mean loss in the parameters, computed in `accumulation` parts; returns the loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.device)
        parts = min(self.accumulation, max(1, len(labels) // self.smallest_part))
        for part_images, part_labels in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
            logits = self.logits(part_images)
            part_loss = F.cross_entropy(logits, part_labels, label_smoothing=self.config.label_smoothing)
            part_loss = part_loss * (len(part_labels) / len(labels))
            part_loss.backward()
            loss += part_loss.detach()
        return loss

    def logits(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 on the device -> (B, classes) float32."""
        pixels = prepare(images, self.image_size, self.mean, self.std)
        with self._autocast():
            return self.forward(pixels).float()

    @property
    def uses_bfloat16(self) -> bool:
        """Whether the model computes in bfloat16: if the config allows it and the hardware is made for it."""
        return self.config.bfloat16 and has_bfloat16(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bfloat16)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Inside, the model only predicts; its weights are converted to bfloat16 once, not once per batch."""
        self.model.eval()
        # no_grad, not inference_mode: there, autocast of torch 2.14 converts all weights again in every call.
        with torch.no_grad(), self._autocast():
            yield

    def evaluate(self, images: Images) -> tuple[float, float, np.ndarray, np.ndarray]:
        """(accuracy, mean cross-entropy, predicted class of each image (N,), the probability that it is given (N,)).

        Running out of memory halves the batch, for this and all later evaluations, and starts over.
        """
        while True:
            try:
                with self.inference():
                    return self._evaluate(images)
            except torch.OutOfMemoryError:
                if self.eval_batch == 1:
                    raise
            self.eval_batch //= 2
            torch.cuda.empty_cache()

    def _evaluate(self, images: Images) -> tuple[float, float, np.ndarray, np.ndarray]:
        loss = torch.zeros((), device=self.device)
        predicted, probabilities = [], []
        for pixels, labels in self._evaluation_batches(images):
            logits = self.logits(pixels)
            loss += F.cross_entropy(logits, labels, reduction="sum")
            predicted.append(logits.argmax(1))
            probabilities.append(logits.float().softmax(1).amax(1))
        predictions, confidences = (torch.cat(parts).cpu().numpy() for parts in (predicted, probabilities))
        count = len(images.labels)
        return float((predictions == images.labels).sum()) / count, loss.item() / count, predictions, confidences

    def _evaluation_batches(self, images: Images) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(images.labels), self.eval_batch):
            batch = slice(start, start + self.eval_batch)
            # A copy: the array is read-only, in memory that all workers of a node share.
            pixels = torch.from_numpy(np.array(images.images[batch])).to(self.device, non_blocking=True)
            yield pixels, torch.from_numpy(np.array(images.labels[batch])).to(self.device, non_blocking=True)

    def test(self, test: Images, folder: StudyFolder, trial: str) -> Figures:
        """Evaluate the trained model on the test split: its figures. Writes the trial's predictions, and how sure it is of
        each, into the folder."""
        accuracy, loss, predictions, confidences = self.evaluate(test)
        contents.write_predictions(folder.predictions(trial), predictions)
        contents.write_confidences(folder.confidences(trial), confidences)
        balanced = balanced_accuracy(predictions, test.labels)
        return {
            "test_accuracy": accuracy, "test_balanced_accuracy": balanced, "test_loss": loss, "test_images": len(test),
        }  # fmt: skip

    def state_dict(self) -> dict[str, object]:
        """Everything that the rest of the training depends on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "accumulation": self.accumulation,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken, bit for bit."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.accumulation = state["epoch"], state["accumulation"]
