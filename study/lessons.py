"""What a study learns from earlier ones: settings that did well there, which some of its first trials try.

    learn_from: [results/first]   # study folders, read once before anything is recorded
    cold_share: 0.5               # of the trials that the sampler proposes meanwhile

A model learns from the trials of the same file of models/, both from random weights or both from pretrained ones; from
those of the entry with its own name, if there are any. All its cells try the same settings in the same order, each until
one of its cold trials is better than all that it learnt: then the earlier study has misled it, or helps no more. What was
learnt lies in the ledger, so a resumed study decides the same, whatever became of the earlier folder.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from record import contents
from record.errors import UserError, one_line
from record.figures import TRIALS
from record.folder import COMPLETE, SEARCH, StudyFolder
from record.ledger import IDENTITY
from record.pareto import pareto_mask
from study.cells import distributions
from study.space.dimensions import Scalar
from study.space.messages import Problem, user_error
from study.space.reading import read_yaml, resolve
from study.space.schema import ModelEntry, StudySpec

MAX_LESSONS = 3  # of a model: on simulated surfaces five or eight did no better


@dataclass(frozen=True)
class Lesson:
    """Settings of an earlier trial, STUDY/TRIAL, as far as this study searches them and its ranges hold them."""

    trial: str
    settings: dict[str, Scalar]


@dataclass(frozen=True)
class Lessons:
    """What a study learns: the studies that it learns from, and each model's lessons, best first."""

    studies: list[dict[str, Any]] = field(default_factory=list)  # name, folder, identity, settings by model
    models: dict[str, list[Lesson]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)  # dimension: values outside of this study's range

    def recorded(self) -> dict[str, Any]:
        """As the ledger keeps them."""
        return asdict(self)

    @classmethod
    def read(cls, recorded: Mapping[str, Any]) -> Lessons:
        """What `recorded` gave."""
        models = {name: [Lesson(**lesson) for lesson in lessons] for name, lessons in recorded["models"].items()}
        return cls(recorded["studies"], models, recorded["left_out"])

    def summary(self) -> str:
        """In a line: what is learnt from where, which models learn nothing, and what could not be used."""
        parts = []
        for study in self.studies:
            counts = [f"{count} of {model}" for model, count in study["settings"].items()]
            parts.append(f"{', '.join(counts) or 'nothing'} from {study['name']}")
        untaught = [f"nothing for {name}" for name, lessons in self.models.items() if not lessons]
        outside = [f"{name} ({count})" for name, count in self.left_out.items()]
        left_out = [f"left out, outside of this study's range: {', '.join(outside)}"] if outside else []
        return f"settings learnt: {'; '.join([*parts, *untaught, *left_out])}"

    def due(
        self, entry: str, taught: Sequence[float | None], cold: Sequence[float | None], cold_share: float
    ) -> Lesson | None:
        """What the next trial of a cell of `entry` tries; None: what the sampler proposes.

        taught, cold: the quality of its trials so far that tried a lesson, and of the others; None without one (stopped,
        failed), NaN while it runs. Lessons and cold trials take turns, a lesson first, until there is none left or a cold
        trial is better than all of them: then the earlier study knows nothing better than the sampler.
        """
        lessons = self.models.get(entry, [])
        turn = math.ceil((len(taught) + len(cold) + 1) * (1 - cold_share) - 1e-9) > len(taught)
        if len(taught) >= len(lessons) or not turn or _best(cold) > _best(taught):
            return None
        return lessons[len(taught)]


def _best(qualities: Sequence[float | None]) -> float:
    """Of those that ended; NaN, which is neither better nor worse, while none has."""
    ended = [-math.inf if quality is None else quality for quality in qualities]
    ended = [quality for quality in ended if not math.isnan(quality)]
    return max(ended, default=math.nan)


def learn(spec: StudySpec, folder: Path, where: str) -> Lessons:
    """Read the studies that `spec.learn_from` names; they are not changed. Raises UserError that names all problems.

    folder: of the study that learns. where: the space or the file that names them, for the message.
    """
    problems: list[Problem] = []
    earlier: list[_Earlier] = []
    for i, name in enumerate(spec.learn_from):
        try:
            earlier.append(_Earlier(Path(name), spec, folder))
            if earlier[-1].folder.name in [study.folder.name for study in earlier[:-1]]:
                raise UserError("another one of this name is listed already")
        except UserError as error:
            problems.append(Problem(("learn_from", i), f"{name}: {error}"))
    if problems:
        raise user_error(where, problems)
    left_out: Counter[str] = Counter()
    models: dict[str, list[Lesson]] = {}
    for name, entry in spec.models.items():
        by_study = [study.lessons(name, entry, left_out) for study in earlier]
        in_turn = [lesson for row in itertools.zip_longest(*by_study) for lesson in row if lesson]
        models[name] = _distinct(in_turn)[:MAX_LESSONS]
    if spec.learn_from and not any(models.values()):
        reason = (
            "every value lies outside of this study's ranges"
            if left_out
            else "no model has file, kind of weights and a dimension in common"
        )
        searched = "; ".join(f"{name} ({', '.join(entry.search) or 'none'})" for name, entry in spec.models.items())
        raise user_error(
            where, [Problem(("learn_from",), f"nothing to learn there: {reason}; searched here: {searched}")]
        )
    return Lessons([study.described(models) for study in earlier], models, dict(left_out))


def _distinct(lessons: Iterable[Lesson]) -> list[Lesson]:
    by_settings: dict[tuple[tuple[str, Scalar], ...], Lesson] = {}
    for lesson in lessons:
        by_settings.setdefault(tuple(sorted(lesson.settings.items())), lesson)
    return list(by_settings.values())


class _Earlier:
    """A study to learn from."""

    def __init__(self, path: Path, spec: StudySpec, learner: Path) -> None:
        """Raises UserError where it cannot teach the study of `spec`, which lies in the folder `learner`."""
        self.folder = StudyFolder(path)
        if path.resolve() == learner.resolve():
            raise UserError("is this study itself")
        if not os.path.isdir(path):
            raise UserError("no such folder")
        if not self.folder.is_study():
            raise UserError("not a study folder")
        self.spec = resolve(read_yaml(self.folder.spec), self.folder.spec.name)
        if self.spec.task != spec.task:
            raise UserError(f"its task is {self.spec.task}, this study's is {spec.task}")
        both = [spec.terms.validation, spec.terms.speed]
        self.better = both if set(both) <= set(spec.objectives) else both[:1]
        self.trials = self._complete()
        if not self.trials:
            raise UserError("no search trial is complete")

    def _complete(self) -> list[dict[str, str]]:
        """The rows of its complete search trials, best first."""
        path, quality = self.folder.table(TRIALS), self.better[0]
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path.name} cannot be read: {one_line(error)}") from error
        rows = [row for row in rows if (row.get("phase"), row.get("state")) == (SEARCH, COMPLETE)]
        rows = [row for row in rows if not math.isnan(_number(row.get(quality)))]
        return sorted(rows, key=lambda row: -_number(row[quality]))

    def lessons(self, name: str, entry: ModelEntry, left_out: Counter[str]) -> Iterator[Lesson]:
        """What a model entry can learn here, best first; counts in `left_out` what its ranges do not hold."""
        alike = [other for other, known in self.spec.models.items() if _is_alike(known, entry)]
        rows = [row for row in self.trials if row.get("model") in ([name] if name in alike else alike)]
        points = [[_number(row.get(column)) for column in self.better] for row in rows]
        on_front = pareto_mask(points, [True] * len(self.better))
        order = sorted(range(len(rows)), key=lambda i: not on_front[i])  # stable: best first among both kinds
        for row in (rows[i] for i in order):
            known = self.spec.models[row["model"]]
            values = {
                dimension: _value(row[dimension], distribution)
                for dimension, distribution in distributions(entry).items()
                if dimension in (*known.search, *known.factors) and row.get(dimension)
            }
            left_out.update(dimension for dimension, value in values.items() if value is None)
            settings = {dimension: value for dimension, value in values.items() if value is not None}
            if settings:
                yield Lesson(f"{self.folder.name}/{row['trial']}", settings)

    def described(self, models: Mapping[str, list[Lesson]]) -> dict[str, Any]:
        """What environment.json says of it."""
        name = self.folder.name
        own = {
            model: sum(lesson.trial.startswith(f"{name}/") for lesson in lessons) for model, lessons in models.items()
        }
        try:
            identity = contents.read_environment(self.folder).get(IDENTITY)
        except (OSError, ValueError):  # it teaches without
            identity = None
        return {
            "name": name, "folder": str(self.folder.path), IDENTITY: identity,
            "settings": {model: count for model, count in own.items() if count},
        }  # fmt: skip


def _is_alike(earlier: ModelEntry, entry: ModelEntry) -> bool:
    """Whether what was good for one model entry is likely to be good for another."""
    return earlier.model == entry.model and (earlier.weights == "none") == (entry.weights == "none")


def _number(text: str | None) -> float:
    try:
        return float(text or math.nan)
    except ValueError:
        return math.nan


def _value(text: str, distribution: BaseDistribution) -> Scalar | None:
    """A value of trials.csv as the dimension has it; None outside of it."""
    number = _number(text)
    if isinstance(distribution, CategoricalDistribution):
        same = (choice for choice in distribution.choices if str(choice) == text or _number(str(choice)) == number)
        return next(same, None)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if not low <= number <= high:
        return None
    number = number if step is None else low + step * round((number - low) / step)
    return round(number) if isinstance(distribution, IntDistribution) else number
