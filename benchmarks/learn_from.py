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
from typing import Any

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

REPEATS, TRIALS = 20, 16
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
    widths: tuple[float, float, float] = (0.25, 0.8, 0.6)

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


def run() -> Iterator[Figure]:
    like: list[tuple[Searched, Searched]] = []
    hostile: list[tuple[Searched, Searched]] = []
    for repeat in range(REPEATS):
        random = np.random.default_rng(repeat)
        with tempfile.TemporaryDirectory() as folder:
            first = {name: surface(random) for name in MODELS}
            search(Path(folder) / "first", space(seed=repeat), first, random)
            for kind, pairs in ((shifted, like), (mirrored, hostile)):
                second = {name: kind(known) for name, known in first.items()}
                cold, warm = (
                    search(
                        Path(folder) / f"{kind.__name__}{len(teachers)}",
                        space(1000 + repeat, *teachers),
                        second,
                        random,
                    )
                    for teachers in ((), (str(Path(folder) / "first"),))
                )
                pairs += [(cold[name], warm[name]) for name in MODELS]
    yield from figures(like, hostile)


def figures(like: list[tuple[Searched, Searched]], hostile: list[tuple[Searched, Searched]]) -> Iterator[Figure]:
    until = [warm.trials_until(cold.end) for cold, warm in like]
    own = [cold.trials_until(cold.end) for cold, _ in like]
    never = sum(math.isinf(count) for count in until)
    yield at_most(
        f"like study: trials until the best of a cold search of {TRIALS} trials is reached, median of {len(like)}",
        statistics.median(until), TRIALS / 2, " trials",
        f" (cold: {statistics.median(own):g}; quartiles {np.quantile(until, [0.25, 0.75])}; not reached by {never})",
    )  # fmt: skip
    for name, pairs in (("like", like), ("hostile", hostile)):
        cold, warm = (statistics.mean(searched.end for searched in side) for side in zip(*pairs, strict=True))
        yield at_most(
            f"{name} study: error of what is chosen in the end against the cold search's, means of {len(pairs)}",
            warm / cold, 1.05, "x", f" ({100 * warm:.2f} and {100 * cold:.2f} %)",
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
        for number in range(TRIALS):
            study.sampler, _ = proposal(spec, lessons, cell, number)
            trial = study.ask(distributions(spec.models[cell.entry]))
            errors.append(surfaces[cell.entry].error(trial.params))
            study.sampler = RandomSampler()
            study.tell(trial, 1 - errors[-1] + random.normal(0, NOISE))
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
