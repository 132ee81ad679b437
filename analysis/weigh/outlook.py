"""What more hours of search would bring: the best of each cell, and which cells can still win.

The forecast itself is in record/forecast.py; here the tables of a study, finished, running or only piloted, become what
it needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.read.candidates import CONFIRM, SEARCH, terms
from analysis.read.errors import StudyError
from analysis.read.study_folder import Study
from record.folder import PROFILE, RUNNING
from record.forecast import Curve, Floats, cell_draws, interval

STEPS = 24  # at which the gain is looked at


@dataclass(frozen=True)
class Outlook:
    """What the best trial of each cell may have reached after some more hours."""

    hours: Floats  # (H,)
    trials: list[int]  # further ones per cell, by hours
    draws: dict[str, Floats]  # by cell: (H, draws), in the task's unit
    speeds: dict[str, tuple[float, float]]  # by cell: of its slowest and its fastest settings; NaN where not timed

    def best(self) -> Floats:
        """(H, draws): the best of all cells."""
        return np.max(list(self.draws.values()), axis=0)

    def chance_best(self, cell: str) -> Floats:
        """(H,): the probability that no other cell is better."""
        return (self.draws[cell] >= self.best()).mean(axis=1)

    def chance_front(self, cell: str) -> Floats:
        """(H,): the probability that no other cell is better which is as fast with whatever settings.

        Where speeds are not known, the most accurate one is the front.
        """
        fastest = self.speeds[cell][1]
        if math.isnan(fastest):
            return self.chance_best(cell)
        faster = [draws for other, draws in self.draws.items() if self.speeds[other][0] >= fastest and other != cell]
        return np.all([self.draws[cell] >= draws for draws in [self.draws[cell], *faster]], axis=0).mean(axis=1)


def outlook(study: Study, hours: Sequence[float], *, pilot: bool = False) -> Outlook:
    """hours: from now on; for a pilot, of the study as a whole, whose first trials are the pilot's.

    Raises StudyError where nothing is recorded that a forecast can start from.
    """
    known = curves(study)
    cells = {c.cell: sum(other.cell == c.cell for other in known) for c in known if c.ended or c.values}
    if not cells:
        raise StudyError(f"{study.names[0]}: no search trial has ended or has an epoch yet; plan its space, or wait")
    search = np.maximum(np.asarray(hours, dtype=float) * 3600 - _beside_search(study, pilot), 0.0)
    trials = np.floor(search / round_seconds(study) + 1e-9).astype(int)
    scale = terms(study).perfect
    draws = {
        cell: scale * cell_draws(cell, known, np.maximum(trials - cells[cell] * pilot, 0), np.random.default_rng(i))
        for i, cell in enumerate(cells)
    }
    return Outlook(
        np.asarray(hours, dtype=float), trials.tolist(), draws, {cell: _speeds(study, cell) for cell in cells}
    )


def table(view: Outlook, quality: str, chance: float) -> pd.DataFrame:
    """One row per time and cell: further trials, the expected best with its interval, the chances to win."""
    rows = []
    for i, hours in enumerate(view.hours):
        for cell, draws in view.draws.items():
            low, high = interval(draws[i])
            best, front = float(view.chance_best(cell)[i]), float(view.chance_front(cell)[i])
            can_win = "yes" if max(best, front) >= chance else "cannot win"
            rows.append([float(hours), view.trials[i], cell, float(draws[i].mean()), low, high, best, front, can_win])
    columns = [
        "hours", "trials_per_cell", "cell", f"best_{quality}", "low", "high", "chance_best", "chance_front", "can_win",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"cell": "str", "can_win": "str"})


def flat_after(study: Study, longest: float, points_per_hour: float, *, pilot: bool = False) -> float | None:
    """The hours from which on a further one is expected to gain less than so many points; None: not within `longest`."""
    beside, each = _beside_search(study, pilot), round_seconds(study)
    rounds = np.unique(np.geomspace(1, max((longest * 3600 - beside) / each, 1), STEPS).astype(int))
    hours = (beside + each * rounds) / 3600
    view = outlook(study, hours.tolist(), pilot=pilot)
    gains = np.diff(view.best().mean(axis=1)) / np.diff(hours) / terms(study).point
    worth = np.flatnonzero(gains >= points_per_hour)
    flat = int(worth[-1]) + 1 if len(worth) else 0
    return float(hours[flat]) if flat < len(gains) else None


def curves(study: Study) -> list[Curve]:
    """The search trials, in the order of the table."""
    task = terms(study)
    epochs = study.epochs.sort_values("epoch", kind="stable").groupby("trial", sort=False)[task.validation]
    values = {str(trial): tuple((column.fillna(0.0) / task.perfect).tolist()) for trial, column in epochs}
    trials = study.trials[study.trials["phase"] == SEARCH].dropna(subset=["cell", "epoch_budget"])
    columns = (trials[name] for name in ("trial", "cell", "model", "epoch_budget", "state"))
    return [
        Curve(str(cell), str(model), int(budget), values.get(str(trial), ()), state != RUNNING)
        for trial, cell, model, budget, state in zip(*columns, strict=True)
    ]


def round_seconds(study: Study) -> float:
    """The time that one more trial of every cell takes: as the search took so far, else as the profile phase expects."""
    trials = study.trials[study.trials["phase"] == SEARCH]
    ended = trials[trials["state"] != RUNNING]
    rounds = len(ended) / max(trials["cell"].nunique(), 1)
    took = _seconds(study, "duration").get(SEARCH)
    if took and len(ended) and len(ended) == len(trials):
        return float(took) / rounds
    expected, budget = _seconds(study, "expected").get(SEARCH), study.spec.get("trials")
    if expected and isinstance(budget, int) and budget > 0:
        return float(expected) / budget
    times = (
        pd.to_datetime(ended["finished"], errors="coerce").max()
        - pd.to_datetime(ended["started"], errors="coerce").min()
    )
    if not len(ended) or pd.isna(times) or times.total_seconds() <= 0:
        raise StudyError(f"{study.names[0]}: how long a trial takes is not known before one has ended; wait for it")
    return float(times.total_seconds()) / rounds


def _beside_search(study: Study, pilot: bool) -> float:
    """The seconds that the other phases take which are still to come."""
    confirm = 0.0 if (study.trials["phase"] == CONFIRM).any() else _seconds(study, "expected").get(CONFIRM, 0.0)
    return confirm + (_seconds(study, "duration").get(PROFILE, 0.0) if pilot else 0.0)


def _seconds(study: Study, which: str) -> dict[str, float]:
    """By phase: what it was expected to take, or its duration so far; {} where that is not known."""
    return study.environment.get(f"{which}_seconds") or {}


def _speeds(study: Study, cell: str) -> tuple[float, float]:
    """Of the slowest and the fastest of the cell's settings: those of its trials, and those timed before."""
    speed, search = terms(study).speed, study.trials[study.trials["phase"] == SEARCH]
    trials = search[search["cell"] == cell]
    model = trials["model"].iloc[0]
    has_one_cell = search.loc[search["model"] == model, "cell"].nunique() == 1
    timed = study.profile.loc[study.profile["model"] == model, speed] if has_one_cell else []
    speeds = np.array([*trials[speed], *timed], dtype=float)
    known = speeds[~np.isnan(speeds)]
    return (float(known.min()), float(known.max())) if len(known) else (math.nan, math.nan)
