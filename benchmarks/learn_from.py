"""What `learn_from` saves where the earlier study was alike, and costs where it was not, on surfaces of known truth.

python -m benchmarks.learn_from

Two models with three searched settings each; a trial's error is the model's floor and a term that grows with the distance
from its best settings, plus noise. The first study searches surfaces of its own. In the like one, the best learning rates lie
1.5 times higher, the other settings a tenth of their range away and the floors are higher; in the hostile one, the best
learning rates lie half of their range away and the other settings at the other end. Each second study runs twice, cold and
with what the first one recorded, from the same seed.

A wrong teacher costs at least the one trial that finds it wrong: what a cold search loses with one trial fewer stands beside.
"""

from __future__ import annotations

import csv
import itertools
import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.samplers import RandomSampler

from benchmarks.figure import Figure, at_most, show
from record import contents
from record.figures import TRIALS as TRIALS_TABLE
from record.folder import COMPLETE, SEARCH, StudyFolder
from study.cells import cells, distributions
from study.lessons import learn
from study.proposals import proposal
from study.space.reading import resolve
from study.space.schema import StudySpec

BUDGETS = (8, 16)  # trials per cell: the default of a space, and twice as many
SEEDS = range(5000, 5040)  # others than those that the number of lessons was chosen on
# How far from its best a setting may lie, in shares of its range, until about two thirds of the possible error are added:
# half a decade of learning rate costs 6 points on a gentle surface, 30 on a steep one.
SHAPES = {"gentle": (0.6, 2.0, 2.0), "steep": (0.25, 0.8, 0.6)}
NOISE = 0.003  # standard deviation of a validation accuracy
CHANCE = 0.9  # error of a training that learns nothing
MODELS = ("resnet18", "scratch_vit")
RANGES = {
    "lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "weight_decay": {"low": 0.0, "high": 0.5},
    "batch_size": {"low": 16, "high": 256, "log": True},
}


@dataclass(frozen=True)
class Surface:
    """The error of one model over its settings, each as its place in its range, 0 to 1."""

    floor: float
    best: tuple[float, float, float]
    widths: tuple[float, float, float]

    def error(self, settings: Mapping[str, Any]) -> float:
        lr, decay, batch = (float(settings[name]) for name in RANGES)
        place = (math.log10(lr / 1e-4) / 3, decay / 0.5, math.log(batch / 16) / math.log(16))
        distance = sum(((p - b) / w) ** 2 for p, b, w in zip(place, self.best, self.widths, strict=True))
        return self.floor + (CHANCE - self.floor) * (1 - math.exp(-distance))


@dataclass(frozen=True)
class Searched:
    """The trials of a model in their order: their true errors, the accuracies that the study saw, and how many were lessons."""

    errors: list[float]
    seen: list[float]
    lessons: int

    @property
    def end(self) -> float:
        return self.after(len(self.errors))

    def after(self, trials: int) -> float:
        """The error of what the study would choose after so many trials."""
        return self.errors[int(np.argmax(self.seen[:trials]))]

    def trials_until(self, error: float) -> float:
        """Trials until one is as good; infinity where none is."""
        return next((i for i, own in enumerate(self.errors, start=1) if own <= error), math.inf)


class Pair(NamedTuple):
    """A model's second study, cold and with lessons; `first`: the error that is as far from the floor as the first's choice."""

    first: float
    cold: Searched
    warm: Searched


def run() -> Iterator[Figure]:
    for (shape, widths), trials in itertools.product(SHAPES.items(), BUDGETS):
        like, hostile = pairs(trials, widths)
        yield from saved(like, f"like study, {shape}, {trials} trials", trials)
        for kind, of_kind in (("like", like), ("hostile", hostile)):
            yield ends(of_kind, f"{kind} study, {shape}, {trials} trials")


def pairs(trials: int, widths: tuple[float, float, float]) -> tuple[list[Pair], list[Pair]]:
    """Second studies of so many trials per cell, on like surfaces and on hostile ones."""
    like: list[Pair] = []
    hostile: list[Pair] = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as results:
            surfaces = {name: surface(random, widths) for name in MODELS}
            teacher = Path(results) / "first"
            first = search(teacher, space(seed, trials), surfaces, random)
            for kind, of_kind in ((shifted, like), (mirrored, hostile)):
                second = {name: kind(known) for name, known in surfaces.items()}
                cold = search(Path(results) / "cold", space(seed + len(SEEDS), trials), second, random)
                warm = search(Path(results) / "warm", space(seed + len(SEEDS), trials, str(teacher)), second, random)
                for name in MODELS:
                    as_good = first[name].end - surfaces[name].floor + second[name].floor
                    of_kind.append(Pair(as_good, cold[name], warm[name]))
    return like, hostile


def saved(like: list[Pair], name: str, trials: int) -> Iterator[Figure]:
    """Trials until the second study is as good as the first, and as the cold search in its end."""
    levels = {"the first study": [pair.first for pair in like], "the cold search": [pair.cold.end for pair in like]}
    for level, errors in levels.items():
        warm = [pair.warm.trials_until(error) for pair, error in zip(like, errors, strict=True)]
        cold = [pair.cold.trials_until(error) for pair, error in zip(like, errors, strict=True)]
        yield at_most(
            f"{name}: trials until one is as good as what {level} chose, median of {len(like)}",
            statistics.median(warm), trials / 2, " trials",
            f" (cold {statistics.median(cold):g}; never: {warm.count(math.inf)}, cold {cold.count(math.inf)})",
        )  # fmt: skip


def ends(pairs: list[Pair], name: str) -> Figure:
    """The error of what is chosen in the end."""
    cold, warm, shorter = np.array([(p.cold.end, p.warm.end, p.cold.after(len(p.cold.errors) - 1)) for p in pairs]).T
    lost = 100 * (warm - cold)
    note = (
        f" ({warm.mean():.2%} and {cold.mean():.2%}; one by one {lost.max():.1f} points worse to {-lost.min():.1f} better; "
        f"{np.mean([pair.warm.lessons for pair in pairs]):.1f} lessons; a cold search of one trial fewer "
        f"{shorter.mean() / cold.mean():.3g}x)"
    )
    return at_most(
        f"{name}: error of its choice against the cold search's, means", warm.mean() / cold.mean(), 1.05, "x", note
    )


def surface(random: np.random.Generator, widths: tuple[float, float, float]) -> Surface:
    lr, decay, batch = random.uniform((0.2, 0.1, 0.1), (0.7, 0.9, 0.9))
    return Surface(random.uniform(0.02, 0.1), (lr, decay, batch), widths)


def shifted(known: Surface) -> Surface:
    lr, decay, batch = known.best
    return replace(known, floor=1.3 * known.floor, best=(lr + math.log10(1.5) / 3, decay + 0.1, batch - 0.1))


def mirrored(known: Surface) -> Surface:
    """Best where the first study's was worst: half of the range of the learning rate away, the others at the other end."""
    lr, decay, batch = known.best
    return replace(known, best=((lr + 0.5) % 1, 1 - decay, 1 - batch))


def space(seed: int, trials: int, *teachers: str) -> StudySpec:
    entry: dict[str, object] = {"epochs": 1, "search": RANGES}
    raw: dict[str, object] = {
        "description": "simulated",
        "data": {"name": "digits"},
        "objectives": ["val_accuracy"],
        "phases": ["search"],
    }
    raw |= {"trials": trials, "seed": seed, "learn_from": list(teachers), "models": dict.fromkeys(MODELS, entry)}
    return resolve(raw, "benchmark")


def search(
    folder: Path, spec: StudySpec, surfaces: dict[str, Surface], random: np.random.Generator
) -> dict[str, Searched]:
    """Propose and judge as the search phase does, in memory; leaves what a later study learns from."""
    lessons = learn(spec, folder, "benchmark")
    searched, rows = {}, []
    for cell in cells(spec):
        study = optuna.create_study(direction="maximize")
        errors: list[float] = []
        taught: list[float | None] = []
        cold: list[float | None] = []
        for number in range(spec.trials):
            study.sampler, teacher = proposal(spec, lessons, cell, taught, cold)
            trial = study.ask(distributions(spec.models[cell.entry]))
            errors.append(surfaces[cell.entry].error(trial.params))
            study.sampler = RandomSampler()
            study.tell(trial, 1 - errors[-1] + random.normal(0, NOISE))
            (cold if teacher is None else taught).append(study.trials[-1].value)
            which = {"trial": f"{cell.name}-{number:03d}", "model": cell.entry, "phase": SEARCH, "state": COMPLETE}
            rows.append(which | {"val_accuracy": study.trials[-1].value} | trial.params)
        searched[cell.entry] = Searched(errors, [trial.values[0] for trial in study.trials], len(taught))
    contents.write_spec(StudyFolder(folder), spec.model_dump(mode="json"))
    with StudyFolder(folder).table(TRIALS_TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return searched


if __name__ == "__main__":
    show(run())
