"""The surfaces that searches are judged on, and what the judgement says of small samples."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import search_designs, simulated_searches, stopping, trained_table
from benchmarks.search_designs import BUDGETS, PLAIN, compare, leads, lines
from benchmarks.surfaces import COMPARE, SURFACES, TRADEOFF, Surface, Trained, spec
from study import search
from study.cells import cells


def test_the_table_has_every_training_of_its_grid_once() -> None:
    rows = trained_table.TABLE.read_text(encoding="utf-8").splitlines()[1:]
    runs = list(trained_table.grid())
    assert set(trained_table.read()) == set(runs) and len(rows) == len(runs)
    accuracies = np.array([curve for _, curve in trained_table.read().values()])
    assert accuracies.shape == (len(runs), trained_table.EPOCHS)
    assert accuracies.min() >= 0 and 0.9 < accuracies.max() <= 1


def test_the_table_is_exact_at_its_points_and_straight_between_them() -> None:
    table, surface = trained_table.read(), Trained()

    def at(lr: float, ratio: float) -> float:
        return surface.truth("vit_tome", {"lr": lr, "train_size": 500, "tome_ratio": ratio}).accuracy

    def known(lr: float, ratio: float) -> float:
        return table[trained_table.Run("vit_tome", lr, 500, ratio)][1][-1]

    lrs, ratios = trained_table.RATES, trained_table.RATIOS
    for lr in lrs:
        for ratio in ratios:
            assert at(lr, ratio) == pytest.approx(known(lr, ratio))
    corners = [known(lr, ratio) for lr in lrs[1:3] for ratio in ratios[1:3]]
    middle = at((lrs[1] * lrs[2]) ** 0.5, sum(ratios[1:3]) / 2)
    assert middle == pytest.approx(np.mean(corners))


@pytest.mark.parametrize("surface", [*SURFACES, TRADEOFF])
def test_curves_end_at_the_truth_on_average(surface: Surface) -> None:
    whole = spec(surface, 4, 0)
    cell = cells(whole)[-1]
    problem = search.Problem.of(whole, cell, 0)
    settings = search.build("space_filling", {}, problem).sample_relative(None, None, {})  # type: ignore[arg-type]
    settings = whole.models[cell.entry].settings | settings | dict(cell.factors)
    random = np.random.default_rng(0)
    ends = [surface.curve(cell.entry, settings, random)[-1] for _ in range(200)]
    assert np.mean(ends) == pytest.approx(surface.truth(cell.entry, settings).accuracy, abs=0.01)


def test_merging_gains_speed_and_costs_accuracy() -> None:
    settings = {"lr": 5e-5, "train_size": 10000}
    plain, merged = (COMPARE.truth("vit_tome", settings | {"tome_ratio": ratio}) for ratio in (0.0, 0.8))
    assert merged.speed > plain.speed and merged.train_seconds < plain.train_seconds
    assert merged.accuracy < plain.accuracy


def test_every_design_searches_with_the_same_budget() -> None:
    for design in search_designs.DESIGNS:
        if design in search_designs.SLOW:
            continue
        rounds = search_designs.run_search(COMPARE, design, 3, 0, priced=True)
        assert [len(row) for row in rounds] == [4, 4, 4]
        models = [trial.model for row in rounds for trial in row]
        assert design == PLAIN or all(models.count(model) == 3 for model in COMPARE.learners)


def test_differences_to_the_default_are_paired() -> None:
    results = compare([search.DEFAULT, "space_filling"], [2, 4], 2, [COMPARE])
    assert all(0 <= share <= 1 for values in results.values() for share in values[:, 2])
    # The default fills the space with its first ten trials.
    table = list(lines(results))
    assert len(table) == 8 and sum("+0.0000 +- 0.0000" in line for line in table) == 4
    assert [figure.measured.split(" points")[0] for figure in leads(results)] == ["+0.00 +- 0.00"] * 2
    assert max(BUDGETS) == 30


def test_early_stopping_keeps_the_front_and_saves_epochs() -> None:
    kind = stopping.Kind(TRADEOFF, 5, priced=False)
    now = np.sum([stopping.outturn(kind, seed) for seed in range(5)], axis=0)
    before = np.sum([stopping.outturn(kind, seed, stopping.on_accuracy_alone) for seed in range(5)], axis=0)
    assert now[1] >= 0.85 * now[0] and now[2] / 5 <= 0.8
    assert before[1] <= 0.85 * before[0]


@pytest.mark.parametrize("kind", simulated_searches.PAIRS)
def test_a_pair_of_models_is_called_apart_by_the_study_only_where_seeds_and_images_do_so(kind: str) -> None:
    for trials, gap in ((2, 0.0), (4, 0.1)):
        outcomes = [simulated_searches.called(kind, gap, trials, seed) for seed in range(3)]
        assert outcomes == [simulated_searches.called(kind, gap, trials, seed) for seed in range(3)]
        assert all(by_study in (-1, alone) for by_study, alone, *_ in outcomes)
        if kind == "lr":  # both have tried the same values
            assert all(extra == 0 and after == alone for _, alone, after, _, extra in outcomes)
