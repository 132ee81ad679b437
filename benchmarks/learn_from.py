"""What `learn_from` saves where the earlier study was alike, and costs where it was not, on surfaces of known truth.

python -m benchmarks.learn_from

Two models with three searched settings each; a trial's error is the model's floor and a term that grows with the distance
from its best settings, plus noise. The first study searches surfaces of its own. In the like one, the best learning rates lie
1.5 times higher, the other settings a tenth of their range away and the floors are higher; in the hostile one, all lie at the
other end of the range. Each second study runs twice, cold and with what the first one recorded, from the same seed.
"""

from __future__ import annotations

import csv
import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

REPEATS, TRIALS = 40, 16
NOISE = 0.003  # standard deviation of a validation accuracy
MAX_RATIO = 1.05  # of errors: what a wrong teacher may cost
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
    widths: tuple[float, float, float] = (0.6, 2.0, 2.0)

    def error(self, settings: Mapping[str, Any]) -> float:
        lr, decay, batch = (float(settings[name]) for name in RANGES)
        place = (math.log10(lr / 1e-4) / 3, decay / 0.5, math.log(batch / 16) / math.log(16))
        distance = sum(((p - b) / w) ** 2 for p, b, w in zip(place, self.best, self.widths, strict=True))
        return self.floor + (CHANCE - self.floor) * (1 - math.exp(-distance))


@dataclass(frozen=True)
class Searched:
    """The true errors of a model's trials, in their order, and which of them the study would choose."""

    errors: list[float]
    chosen: int

    @property
    def end(self) -> float:
        return self.errors[self.chosen]

    def trials_until(self, error: float) -> float:
        """Trials until one is as good; infinity where none is."""
        return next((i for i, own in enumerate(self.errors, start=1) if own <= error), math.inf)


class Pair(NamedTuple):
    """A model's second study, cold and with lessons; `first`: the error that is as far from the floor as the first's choice."""

    first: float
    cold: Searched
    warm: Searched


def run() -> Iterator[Figure]:
    like: list[Pair] = []
    hostile: list[Pair] = []
    for repeat in range(REPEATS):
        random = np.random.default_rng(repeat)
        with tempfile.TemporaryDirectory() as results:
            surfaces = {name: surface(random) for name in MODELS}
            teacher = Path(results) / "first"
            first = search(teacher, space(repeat), surfaces, random)
            for kind, pairs in ((shifted, like), (mirrored, hostile)):
                second = {name: kind(known) for name, known in surfaces.items()}
                cold = search(Path(results) / "cold", space(REPEATS + repeat), second, random)
                warm = search(Path(results) / "warm", space(REPEATS + repeat, str(teacher)), second, random)
                for name in MODELS:
                    as_good = first[name].end - surfaces[name].floor + second[name].floor
                    pairs.append(Pair(as_good, cold[name], warm[name]))
    yield from figures(like, hostile)


def figures(like: list[Pair], hostile: list[Pair]) -> Iterator[Figure]:
    for level, until, cold in (
        (
            "what the first study chose",
            [p.warm.trials_until(p.first) for p in like],
            [p.cold.trials_until(p.first) for p in like],
        ),
        (
            "what its cold search chose",
            [p.warm.trials_until(p.cold.end) for p in like],
            [p.cold.trials_until(p.cold.end) for p in like],
        ),
    ):
        yield at_most(
            f"like study: trials until one is as good as {level}, median of {len(like)}",
            statistics.median(until), TRIALS / 2, " trials",
            f" (cold: {statistics.median(cold):g}; never in {TRIALS} trials: {until.count(math.inf)}, cold {cold.count(math.inf)})",
        )  # fmt: skip
    for name, pairs in (("like", like), ("hostile", hostile)):
        cold_error, warm_error = (
            statistics.mean(ends) for ends in zip(*((p.cold.end, p.warm.end) for p in pairs), strict=True)
        )
        lost = [100 * (p.warm.end - p.cold.end) for p in pairs]
        yield at_most(
            f"{name} study: error of what is chosen in the end against the cold search's, means of {len(pairs)}",
            warm_error / cold_error, MAX_RATIO, "x",
            f" ({100 * warm_error:.2f} and {100 * cold_error:.2f} %; worst pair {max(lost):.1f} points worse, best {-min(lost):.1f} better)",
        )  # fmt: skip


def surface(random: np.random.Generator) -> Surface:
    lr, decay, batch = random.uniform((0.2, 0.1, 0.1), (0.7, 0.9, 0.9))
    return Surface(random.uniform(0.02, 0.1), (lr, decay, batch))


def shifted(known: Surface) -> Surface:
    lr, decay, batch = known.best
    return Surface(1.3 * known.floor, (lr + math.log10(1.5) / 3, decay + 0.1, batch - 0.1))


def mirrored(known: Surface) -> Surface:
    """Best where the first study's was worst: half of the range of the learning rate away, the others at the other end."""
    lr, decay, batch = known.best
    return Surface(known.floor, ((lr + 0.5) % 1, 1 - decay, 1 - batch))


def space(seed: int, *teachers: str) -> StudySpec:
    entry = {"epochs": 1, "search": RANGES}
    raw = {"description": "simulated", "data": {"name": "digits"}, "objectives": ["val_accuracy"], "phases": ["search"]}
    raw |= {"trials": TRIALS, "seed": seed, "learn_from": list(teachers), "models": dict.fromkeys(MODELS, entry)}
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
        for number in range(TRIALS):
            study.sampler, teacher = proposal(spec, lessons, cell, taught, cold)
            trial = study.ask(distributions(spec.models[cell.entry]))
            errors.append(surfaces[cell.entry].error(trial.params))
            study.sampler = RandomSampler()
            study.tell(trial, 1 - errors[-1] + random.normal(0, NOISE))
            (cold if teacher is None else taught).append(study.trials[-1].value)
            which = {"trial": f"{cell.name}-{number:03d}", "model": cell.entry, "phase": SEARCH, "state": COMPLETE}
            rows.append(which | {"val_accuracy": study.trials[-1].value} | trial.params)
        searched[cell.entry] = Searched(errors, study.best_trial.number)
    contents.write_spec(StudyFolder(folder), spec.model_dump(mode="json"))
    with StudyFolder(folder).table(TRIALS_TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return searched


if __name__ == "__main__":
    show(run())
