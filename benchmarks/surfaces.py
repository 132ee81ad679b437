"""Searches whose true outcome is known: two simulated ones, and the table of trainings that really ran.

Each has a scratch ViT, a ResNet, a ViT and a ViT that merges tokens (the table: no plain ViT), whose best learning rates,
ceilings and speeds differ. A training's accuracy has the noise of its seed; a learning rate above the best one starts
faster and ends lower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks import trained_table
from benchmarks.trained_table import RATES, RATIOS, Run
from record.tasks import IMAGE_CLASSIFICATION as TERMS
from study.space.dimensions import Scalar
from study.space.reading import resolve
from study.space.schema import StudySpec

CHANCE = 0.1
OBJECTIVES = (TERMS.validation, TERMS.speed, "train_seconds")
Floats = npt.NDArray[np.float64]


class Outcome(NamedTuple):
    """What a setting is really worth: the mean over seeds at the end of training."""

    accuracy: float
    speed: float
    train_seconds: float


class Surface(Protocol):
    """A study's models and what their settings come to."""

    @property
    def name(self) -> str: ...

    @property
    def epochs(self) -> int: ...

    def __hash__(self) -> int: ...

    def models(self) -> dict[str, dict[str, Any]]:
        """The entries of a space with their searched dimensions."""
        ...

    def truth(self, model: str, settings: Mapping[str, Scalar]) -> Outcome: ...

    def curve(self, model: str, settings: Mapping[str, Scalar], random: np.random.Generator) -> Floats:
        """The validation accuracy of each epoch (epochs,) of one training."""
        ...


def spec(surface: Surface, trials: int, seed: int, priced: bool = True) -> StudySpec:
    """The study of a surface. priced: train_seconds is an objective; without it the train size is fixed at the largest,
    because a study refuses to search it."""
    models = surface.models()
    if not priced:
        models = {name: _without_sizes(entry) for name, entry in models.items()}
    space = {
        "description": surface.name, "data": {"name": "digits"}, "trials": trials, "seed": seed, "models": models,
        "objectives": list(OBJECTIVES[: 3 if priced else 2]), "all_models": {"epochs": surface.epochs},
    }  # fmt: skip
    return resolve(space, surface.name)


def _without_sizes(entry: dict[str, Any]) -> dict[str, Any]:
    searched = dict(entry["search"])
    return entry | {"train_size": max(searched.pop("train_size")), "search": searched}


@dataclass(frozen=True)
class Learner:
    """One simulated model. Accuracy falls off from the best learning rate, twice as steeply above it."""

    best_lr: float
    width: float  # decades below the best learning rate that cost 40 % of what is learnt
    ceiling: float
    speed: float
    lowest: float
    highest: float  # searched learning rates
    size_exponent: float  # the error grows as train_size ** -size_exponent
    patience: float  # epochs in which two thirds are learnt
    decay_width: float = math.inf  # decades of weight decay
    merges: bool = False
    merging_loss: float = 0.0  # of accuracy where all is merged
    merging_gain: float = 0.6  # share of the time that is spent on tokens


@dataclass(frozen=True, eq=False)
class Simulated:
    """Learners under one set of sizes and one noise."""

    name: str
    learners: Mapping[str, Learner]
    sizes: Sequence[int]
    noise: float  # standard deviation over seeds
    epochs: int = 10
    jitter: float = 0.5  # of an epoch, in units of the noise
    ratios: Sequence[float] = ()  # tome_ratio is a factor with these values; without them it is searched

    def models(self) -> dict[str, dict[str, Any]]:
        factors = {"tome_ratio": list(self.ratios)} if self.ratios else {}
        return {
            name: {"search": self._search(learner), "factors": factors if learner.merges else {}}
            for name, learner in self.learners.items()
        }

    def _search(self, learner: Learner) -> dict[str, Any]:
        searched: dict[str, Any] = {
            "lr": {"low": learner.lowest, "high": learner.highest, "log": True},
            "train_size": list(self.sizes),
        }
        if math.isfinite(learner.decay_width):
            searched["weight_decay"] = {"low": 1e-3, "high": 1.0, "log": True}
        return searched | ({"tome_ratio": {"low": 0.0, "high": 0.8}} if learner.merges and not self.ratios else {})

    def truth(self, model: str, settings: Mapping[str, Scalar]) -> Outcome:
        learner, size, ratio = (
            self.learners[model],
            float(settings["train_size"]),
            float(settings.get("tome_ratio", 0.0)),
        )
        error = (1 - learner.ceiling) * (size / max(self.sizes)) ** -learner.size_exponent
        best = 1 - error - learner.merging_loss * ratio**3
        off = self._off(model, settings) / learner.width
        # Weight decay is best in the middle of its range for the best learning rate, and lower for higher ones.
        decay = math.log10(float(settings.get("weight_decay", 0.03)) / 0.03) + 0.3 * off
        lost = (2 * off if off > 0 else off) ** 2 + (decay / learner.decay_width) ** 2
        speed = learner.speed / (1 - learner.merging_gain * ratio)
        return Outcome(CHANCE + max(best - CHANCE, 0.0) * math.exp(-lost / 2), speed, 3 * size * self.epochs / speed)

    def _off(self, model: str, settings: Mapping[str, Scalar]) -> float:
        """Decades above the best learning rate, which is higher for more images and fewer tokens."""
        learner = self.learners[model]
        shift = 0.15 * math.log10(float(settings["train_size"]) / max(self.sizes)) + 0.2 * float(
            settings.get("tome_ratio", 0)
        )
        return math.log10(float(settings["lr"]) / learner.best_lr) - shift

    def curve(self, model: str, settings: Mapping[str, Scalar], random: np.random.Generator) -> Floats:
        luck = self.noise * random.normal()
        end = min(1.0, self.truth(model, settings).accuracy + luck)
        off = min(max(self._off(model, settings), -1.0), 1.0)
        patience = self.learners[model].patience * 10 ** (-0.5 * off)
        learnt = 1 - np.exp(-np.arange(1, self.epochs + 1) / patience)
        jitter = self.jitter * self.noise * random.normal(size=self.epochs)
        jitter[-1] = 0.0
        return np.clip(CHANCE + (end - CHANCE) * learnt / learnt[-1] + jitter, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Trained:
    """The table, interpolated linearly in log lr and tome_ratio; a training has the luck of the validation images."""

    name: str = "trained on digits"
    epochs: int = trained_table.EPOCHS

    def models(self) -> dict[str, dict[str, Any]]:
        common = {
            "lr": {"low": min(RATES), "high": max(RATES), "log": True},
            "train_size": list(trained_table.TRAIN_SIZES),
        }
        merging = {"tome_ratio": {"low": min(RATIOS), "high": max(RATIOS)}}
        return {name: {"search": common | (merging if name == "vit_tome" else {})} for name in trained_table.MODELS}

    def truth(self, model: str, settings: Mapping[str, Scalar]) -> Outcome:
        megaflops, curve = self._interpolate(model, settings)
        return Outcome(float(curve[-1]), 1 / megaflops, 3 * float(settings["train_size"]) * self.epochs * megaflops)

    def curve(self, model: str, settings: Mapping[str, Scalar], random: np.random.Generator) -> Floats:
        """The standard error of a share of `VALIDATION_IMAGES`, the same way in every epoch: the images stay the same."""
        _, shares = self._interpolate(model, settings)
        luck = random.normal() * np.sqrt(shares * (1 - shares) / trained_table.VALIDATION_IMAGES)
        return np.clip(shares + luck, 0.0, 1.0)

    def _interpolate(self, model: str, settings: Mapping[str, Scalar]) -> tuple[float, Floats]:
        """(megaflops per image, accuracy of each epoch)."""
        table, size = trained_table.read(), int(settings["train_size"])
        ratios = RATIOS if model == "vit_tome" else (0.0,)
        megaflops, curve = 0.0, np.zeros(self.epochs)
        for i, of_rate in _weights(np.log10(RATES), math.log10(float(settings["lr"]))):
            for j, of_ratio in _weights(np.array(ratios), float(settings.get("tome_ratio", 0.0))):
                own_megaflops, accuracies = table[Run(model, RATES[i], size, ratios[j])]
                megaflops += of_rate * of_ratio * own_megaflops
                curve += of_rate * of_ratio * np.array(accuracies)
        return megaflops, curve


def _weights(axis: Floats, at: float) -> list[tuple[int, float]]:
    """The neighbours of `at` on the sorted axis and their shares; one neighbour where `at` is a point of it."""
    place = float(np.interp(at, axis, np.arange(len(axis))))
    below, share = int(place), place - int(place)
    return [(below, 1.0)] if share < 1e-9 else [(below, 1 - share), (below + 1, share)]


# Like cifar_compare: four models whose learning rates are searched over one and a half decades, and three sizes.
COMPARE = Simulated(
    "simulated: compare",
    {
        "scratch_vit": Learner(3e-4, 0.8, 0.78, 900, 3e-5, 3e-3, 0.25, 3.0),
        "resnet18": Learner(1e-3, 1.0, 0.88, 600, 1e-4, 3e-2, 0.2, 2.0),
        "vit": Learner(5e-5, 0.7, 0.95, 150, 5e-6, 1e-3, 0.12, 1.2),
        "vit_tome": Learner(5e-5, 0.7, 0.945, 150, 5e-6, 1e-3, 0.12, 1.3, merges=True, merging_loss=0.12),
    },
    (500, 2000, 10000),
    0.006,
)  # fmt: skip
# Wide ranges, narrow peaks off the middle, weight decay beside the learning rate, more noise.
NARROW = Simulated(
    "simulated: narrow",
    {
        "scratch_vit": Learner(2e-3, 0.5, 0.86, 700, 1e-5, 1e-1, 0.3, 4.0, 0.8),
        "resnet18": Learner(1e-2, 0.6, 0.93, 400, 1e-5, 1e-1, 0.2, 2.5, 1.0),
        "vit": Learner(1e-4, 0.4, 0.94, 200, 1e-6, 1e-2, 0.1, 1.5, 1.0),
        "vit_tome": Learner(2e-4, 0.4, 0.94, 190, 1e-6, 1e-2, 0.1, 1.6, 1.0, merges=True, merging_loss=0.25),
    },
    (500, 1000, 4000),
    0.01,
)  # fmt: skip
# Like tome_tradeoff: one model whose ratio is a factor, or searched.
MERGING = {"vit_tome": Learner(1e-4, 0.6, 0.93, 400, 1e-5, 5e-4, 0.0, 1.5, merges=True, merging_loss=0.15)}
TRADEOFF = Simulated(
    "simulated: ratio as a factor", MERGING, (2000,), 0.006, epochs=8, ratios=(0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8)
)
TRADEOFF_SEARCHED = Simulated("simulated: ratio searched", MERGING, (2000,), 0.006, epochs=8)
SURFACES: tuple[Surface, ...] = (COMPARE, NARROW, Trained())
