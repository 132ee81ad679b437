"""Search algorithms on a real ledger: what a space may name, what is refused, and what a resumed study proposes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats.qmc import Sobol

from record.errors import UserError
from study import search
from study.cells import cells
from study.ledger import Ledger, Trial
from study.proposals import SearchProposals
from study.space.dimensions import Scalar
from study.space.reading import resolve
from study.space.schema import StudySpec

LR = {"low": 1e-4, "high": 1e-1, "log": True}
DECAY = {"low": 0.0, "high": 0.5}
TWO_MODELS = ("resnet18", "scratch_vit")
TWO = ["val_accuracy", "train_seconds"]
# A file of one's own: what a user writes into study/search/my_search.py.
MY_SEARCH = """
from optuna.samplers import RandomSampler

def build(problem, shift: int = 0):
    return RandomSampler(seed=problem.cell_seed + problem.number + shift)
"""


def study(
    sampler: dict[str, Any] | None = None,
    objectives: list[str] = TWO,
    trials: int = 10,
    dimensions: dict[str, Any] | None = None,
    models: tuple[str, ...] = ("resnet18",),
) -> StudySpec:
    """One model, or several that search the same dimensions."""
    entry = {"epochs": 1, "search": dimensions or {"lr": LR, "weight_decay": DECAY, "batch_size": [16, 32]}}
    space = {"description": "x", "data": {"name": "digits"}, "objectives": objectives, "early_stopping": None}
    return resolve(space | {"trials": trials, "sampler": sampler, "models": dict.fromkeys(models, entry)}, "test")


def check(spec: StudySpec) -> None:
    assert spec.sampler is not None
    search.check(spec.sampler.name, spec.sampler.options, spec, "my.yaml: sampler")


def run(folder: Path, spec: StudySpec, trials: int = 1000) -> Iterator[Trial]:
    """Propose and finish trials; of every seven, the second is pruned, the third fails and the fourth keeps running."""
    with Ledger(folder, spec) as ledger:
        for left in ledger.in_phase("search", "running"):
            finish(ledger, left)
        proposals = SearchProposals(ledger)
        while not proposals.done and trials > 0:
            trial = proposals.next()
            assert trial is not None
            yield trial
            ends = {1: "pruned", 2: "failed", 3: "running"}
            finish(ledger, trial, ends.get(len(ledger.trials) % 7, "complete"))
            trials -= 1


def finish(ledger: Ledger, trial: Trial, state: str = "complete") -> None:
    quality = -abs(np.log10(float(trial.params.get("lr", 1.0))) + 2)
    ledger.record(trial, {"epoch": 1, "val_accuracy": quality, "val_loss": 1.0})
    if state == "complete":
        ledger.finish(trial, state, [quality, float(trial.params.get("batch_size", 1))][: len(ledger.spec.objectives)])
    elif state != "running":
        ledger.finish(trial, state)


def proposed(folder: Path, spec: StudySpec, parts: int = 1) -> list[dict[str, Scalar]]:
    """The settings of all trials, by trial, of a study that runs in so many parts."""
    total = spec.trials * len(cells(spec))
    folder.mkdir()
    for _ in range(parts):
        list(run(folder, spec, -(-total // parts)))
    with Ledger(folder, spec) as ledger:
        trials = sorted(ledger.trials.values(), key=lambda trial: trial.name)
        assert [len(ledger.of(cell)) for cell in cells(spec)] == [spec.trials] * len(cells(spec))
        return [trial.params for trial in trials]


# -- what a space may name


@pytest.mark.parametrize(
    ("sampler", "objectives"),
    [
        (None, TWO),
        ({"name": "TPESampler", "n_startup_trials": 3, "multivariate": True}, TWO),
        ({"name": "RandomSampler"}, TWO),
        ({"name": "QMCSampler", "scramble": True}, TWO),
        ({"name": "NSGAIISampler", "population_size": 4, "mutation_prob": "5e-1"}, TWO),
        ({"name": "NSGAIIISampler", "population_size": 4}, TWO),
        ({"name": "GPSampler", "n_startup_trials": 7}, TWO),
        ({"name": "CmaEsSampler", "popsize": 4}, ["val_accuracy"]),
    ],
)
def test_a_space_may_name_any_sampler_that_fits_and_its_trials_follow_from_the_seed(
    tmp_path: Path, sampler: dict[str, Any] | None, objectives: list[str]
) -> None:
    spec = study(sampler, objectives)
    if sampler:
        check(spec)
    whole = proposed(tmp_path / "whole", spec)
    assert whole == proposed(tmp_path / "again", spec)
    values = [float(trial["lr"]) for trial in whole]
    assert len(set(values)) > len(values) / 2 and all(1e-4 <= value <= 1e-1 for value in values)
    assert {trial["batch_size"] for trial in whole} == {16, 32}


@pytest.mark.parametrize("name", ["tpe", "RandomSampler", "QMCSampler", "GPSampler", "NSGAIISampler"])
def test_a_resumed_study_proposes_what_an_uninterrupted_one_does(tmp_path: Path, name: str) -> None:
    """Each trial ends before the next one starts, so that both records agree at every proposal."""

    def settings(folder: Path, reopen: bool) -> list[dict[str, Scalar]]:
        folder.mkdir()
        ledger = Ledger(folder, spec)
        proposals = SearchProposals(ledger)
        params: list[dict[str, Scalar]] = []
        while not proposals.done:
            trial = proposals.next()
            assert trial is not None
            params.append(trial.params)
            finish(ledger, trial, "pruned" if len(params) % 5 == 1 else "complete")
            if reopen:
                ledger.close()
                ledger = Ledger(folder, spec)
                proposals = SearchProposals(ledger)
        ledger.close()
        return params

    spec = study({"name": name}, trials=12)
    assert settings(tmp_path / "whole", reopen=False) == settings(tmp_path / "resumed", reopen=True)


@pytest.mark.parametrize("parts", [1, 3])
def test_qmc_proposes_the_points_of_one_sobol_sequence_per_cell(tmp_path: Path, parts: int) -> None:
    spec = study({"name": "QMCSampler"}, trials=8, dimensions={"lr": LR, "weight_decay": DECAY}, models=TWO_MODELS)
    check(spec)
    settings = proposed(tmp_path / "study", spec, parts)
    points = [(np.log10(float(s["lr"]) / 1e-4) / 3, float(s["weight_decay"]) / 0.5) for s in settings]
    sequence = Sobol(2, scramble=False).random(8)
    assert np.array(points[:8]) == pytest.approx(sequence) and np.array(points[8:]) == pytest.approx(sequence)


@pytest.mark.parametrize("parts", [1, 3])
def test_cells_that_share_a_dimension_try_the_same_values_of_it_evenly_from_the_first_trials_on(
    tmp_path: Path, parts: int
) -> None:
    """Eight values of a learning rate lie one in each eighth of its range, the first two one in each half."""
    entries = {
        "resnet18": {"epochs": 1, "search": {"lr": LR}},
        "vit_tome": {"epochs": 1, "search": {"lr": LR, "tome_ratio": {"low": 0.1, "high": 0.8}}},
        "vit": {"epochs": 1, "search": {"lr": LR | {"high": 1e-2}, "batch_size": [16, 32]}},
    }
    space = {"description": "x", "data": {"name": "digits"}, "objectives": TWO, "early_stopping": None, "trials": 8}
    spec = resolve(space | {"sampler": {"name": "space_filling"}, "models": entries}, "test")
    check(spec)
    settings = proposed(tmp_path / "study", spec, parts)
    resnet, vit, tome = settings[:8], settings[8:16], settings[16:]  # by name
    assert [s["lr"] for s in resnet] == [s["lr"] for s in tome]
    shares = [np.log10(float(s["lr"]) / 1e-4) / 3 for s in resnet]
    assert [np.log10(float(s["lr"]) / 1e-4) / 2 for s in vit] == pytest.approx(
        shares
    )  # another range: the same place in it
    for first in (2, 4, 8):
        assert sorted(int(share * first) for share in shares[:first]) == list(range(first))
    assert sorted(int((float(s["tome_ratio"]) - 0.1) / 0.7 * 8) for s in tome) == list(range(8))
    assert sorted(s["batch_size"] for s in vit) == [16] * 4 + [32] * 4
    other = proposed(tmp_path / "other", spec.model_copy(update={"seed": 1}), 1)
    assert [s["lr"] for s in other] != [s["lr"] for s in settings]


def test_every_kind_of_dimension_is_filled_evenly(tmp_path: Path) -> None:
    dimensions = {
        "warmup_epochs": {"low": 0, "high": 3},
        "batch_size": {"low": 1, "high": 1000, "log": True},
        "shift": {"low": 0.0, "high": 0.4, "step": 0.1},
    }
    spec = study({"name": "space_filling"}, trials=64, dimensions=dimensions)
    check(spec)
    settings = proposed(tmp_path / "study", spec, 1)
    assert {value: sum(s["warmup_epochs"] == value for s in settings) for value in range(4)} == dict.fromkeys(
        range(4), 16
    )
    steps = [round(float(s["shift"]) / 0.1) for s in settings]
    assert set(steps) == set(range(5)) and all(abs(steps.count(step) - 64 / 5) <= 2 for step in range(5))
    batches = sorted(int(s["batch_size"]) for s in settings)
    assert batches[0] >= 1 and batches[-1] <= 1000 and 10 < batches[31] < 100  # the middle of the logarithms


@pytest.mark.parametrize("parts", [1, 4])
def test_a_grid_visits_every_point_once(tmp_path: Path, parts: int) -> None:
    dimensions = {"lr": LR, "batch_size": [16, 32], "warmup_epochs": {"low": 0, "high": 4, "step": 2}}
    options = {"search_space": {"lr": ["1e-3", 1e-2]}}  # YAML reads 1e-3 as text
    spec = study({"name": "GridSampler"} | options, trials=12, dimensions=dimensions, models=TWO_MODELS)
    check(spec)
    points = [tuple(s.values()) for s in proposed(tmp_path / "study", spec, parts)]
    every = {(lr, batch, warmup) for lr in (1e-3, 1e-2) for batch in (16, 32) for warmup in (0, 2, 4)}
    assert set(points[:12]) == set(points[12:]) == every
    assert points[:12] != sorted(points[:12]) and points[:12] != points[12:]  # each cell in an order of its own


def test_a_trial_that_died_before_it_had_a_name_costs_the_grid_no_point(tmp_path: Path) -> None:
    spec = study({"name": "GridSampler"}, trials=4, dimensions={"batch_size": [8, 16, 32, 64]})
    with Ledger(tmp_path, spec) as ledger:
        ledger.study("resnet18").ask()
    assert {trial.params["batch_size"] for trial in run(tmp_path, spec)} == {8, 16, 32, 64}


def test_a_grid_takes_the_steps_of_a_range(tmp_path: Path) -> None:
    spec = study({"name": "GridSampler"}, trials=3, dimensions={"weight_decay": DECAY | {"step": 0.25}})
    settings = proposed(tmp_path / "study", spec)
    assert sorted(float(s["weight_decay"]) for s in settings) == [0.0, 0.25, 0.5]


def test_the_default_fills_the_space_with_ten_trials_and_then_learns(tmp_path: Path) -> None:
    """TPE comes to prefer the better half of the learning rates; the quality peaks two thirds up the range."""
    spec = study(None, ["val_accuracy"], 30, {"lr": LR, "weight_decay": DECAY})
    settings = proposed(tmp_path / "default", spec)
    filling = proposed(
        tmp_path / "filling", spec.model_copy(update={"sampler": study({"name": "space_filling"}).sampler})
    )
    assert settings[:10] == filling[:10] and settings[10] != filling[10]
    distances = [abs(np.log10(float(s["lr"])) + 2) for s in settings]
    assert np.mean(distances[20:]) < np.mean(distances[:10])


def test_cma_es_learns(tmp_path: Path) -> None:
    """The quality peaks at a learning rate of 0.01, which is two thirds up the range."""
    spec = study({"name": "CmaEsSampler", "popsize": 4}, ["val_accuracy"], 27, {"lr": LR, "weight_decay": DECAY})
    check(spec)
    distances = [abs(np.log10(float(s["lr"])) + 2) for s in proposed(tmp_path / "study", spec)]
    assert np.mean(distances[18:]) < np.mean(distances[:9])


# -- a file of one's own


def test_an_algorithm_of_ones_own_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_search.py").write_text(MY_SEARCH)
    monkeypatch.setattr(search, "__path__", [*search.__path__, str(tmp_path)])
    assert "my_search" in search.names()
    spec = study({"name": "my_search", "shift": 3}, trials=4)
    check(spec)
    settings = proposed(tmp_path / "study", spec)
    assert settings != proposed(tmp_path / "other", study({"name": "my_search"}, trials=4))
    with pytest.raises(UserError, match=r"my\.yaml: sampler\.shif: unknown option of my_search; did you mean 'shift'"):
        check(study({"name": "my_search", "shif": 3}))


# -- what is refused when the space is read


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ({"name": "TPE"}, r"sampler\.name: unknown 'TPE'; valid: .*TPESampler.*tpe"),
        ({"name": "TPESampel"}, r"sampler\.name: unknown 'TPESampel'; did you mean 'TPESampler'"),
        ({"name": "BaseSampler"}, r"sampler\.name: unknown 'BaseSampler'"),
        ({"name": "TPESampler", "n_startup": 3}, r"sampler\.n_startup: .*TPESampler; did you mean 'n_startup_trials'"),
        ({"name": "TPESampler", "n_startup_trials": "ten"}, "n_startup_trials: .* type int, got 'ten'"),
        ({"name": "TPESampler", "seed": 3}, r"sampler\.seed: .*set `seed` at the top of the space"),
        ({"name": "TPESampler", "gamma": 3}, r"sampler\.gamma: unknown option"),  # a function, which YAML cannot write
        ({"name": "NSGAIISampler", "population_size": 1}, "NSGAIISampler cannot search models.resnet18: .*population"),
        ({"name": "QMCSampler", "qmc_type": "x"}, "QMCSampler cannot search models.resnet18: .*halton"),
        ({"name": "CmaEsSampler"}, r"CmaEsSampler searches for one objective, but this study has 2 \(val_acc.*name one"),
        ({"name": "BruteForceSampler"}, "BruteForceSampler cannot search models.resnet18: .*step"),
        ({"name": "PartialFixedSampler"}, "PartialFixedSampler cannot search models.resnet18"),
        ({"name": "GridSampler"}, r"lr has no steps: list its values under sampler\.search_space\.lr"),
        ({"name": "GridSampler", "search_space": {"rl": [1]}}, r"search_space\.rl: .*did you mean 'lr'"),
        ({"name": "GridSampler", "search_space": {"lr": [1.0], "weight_decay": [0.1]}}, "2 points, fewer than trials: 10"),
        (
            {"name": "GridSampler", "search_space": {"lr": [0.01 * n for n in range(1, 20)], "weight_decay": [0.1]}},
            r"search_space\.lr: 0\.\d+ is outside of the searched range",
        ),
    ],
)  # fmt: skip
def test_misuse_is_one_line_when_the_space_is_read(sampler: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check(study(sampler))
    assert str(caught.value).startswith("my.yaml: sampler") and "\n" not in str(caught.value)
