"""How well each cell was tuned: the expected best by hand and by enumeration, and what a comparison must say of a search."""

from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from fake_study import trial_row, write_study, write_tables
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.tell import report_tables
from analysis.tell.answer import answers
from analysis.tell.pictures import html
from analysis.tell.pictures.data import pictures, weigh
from analysis.tell.pictures.png import draw
from analysis.tell.summary import print_summary
from analysis.tell.tuning import caveats, other_settings
from analysis.weigh.comparison import comparisons, intervals
from analysis.weigh.expected_best import band, expected_best, expected_best_curves
from analysis.weigh.overview import overview
from analysis.weigh.tuning import AtEnd, may_catch_up, spread_of_best, tuning

LR = {"low": 1e-4, "high": 1e-2, "log": True, "step": None}


def study(
    folder: Path, rows: list[dict[str, Any]], search: dict[str, Any] | None = None, validation: int = 400
) -> analysis.Study:
    """One model entry `vit` (and whatever else `rows` name) that searched `search`."""
    write_tables(folder, rows)
    entries = {name: {"search": search or {"lr": LR}} for name in {row["model"] for row in rows}}
    (folder / "study.yaml").write_text(yaml.safe_dump({"trials": len(rows), "models": entries}))
    (folder / "environment.json").write_text(f'{{"data": {{"validation": {validation}}}}}')
    return analysis.load(folder)


def cell_of(accuracies: list[float | None], model: str = "vit", **more: Any) -> list[dict[str, Any]]:
    return [trial_row(f"{model}-{i:03d}", value, 100.0, **more) for i, value in enumerate(accuracies)]


def test_expected_best_by_hand() -> None:
    # Of .5, .6, .7: one is .6 on average; two are (.5, .6), (.5, .7) or (.6, .7), so the best is (.6 + .7 + .7) / 3.
    assert [expected_best([0.7, 0.5, 0.6], n) for n in (1, 2, 3)] == pytest.approx([0.6, 2 / 3, 0.7])
    with pytest.raises(ValueError, match="between 1 and 3"):
        expected_best([0.5, 0.6, 0.7], 4)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=7).flatmap(lambda v: st.tuples(st.just(v), st.integers(1, len(v))))
)
def test_expected_best_is_the_mean_over_all_choices(drawn: tuple[list[float], int]) -> None:
    values, trials = drawn
    every = [max(choice) for choice in combinations(values, trials)]
    assert expected_best(values, trials) == pytest.approx(np.mean(every), abs=1e-12)


def test_the_expected_best_of_thousands_is_still_exact() -> None:
    values = np.arange(1, 5001, dtype=float)  # the mean of the largest of n of 1..N is n (N + 1) / (n + 1)
    assert [expected_best(values, n) for n in (1, 10, 4000)] == pytest.approx(
        [n * 5001 / (n + 1) for n in (1, 10, 4000)]
    )


@pytest.mark.parametrize("trials", [1, 2, 4])
def test_the_band_holds_nine_searches_in_ten(trials: int) -> None:
    values = [0.5, 0.6, 0.7, 0.8]
    best = sorted(max(search) for search in product(values, repeat=trials))
    low, high = band(values, trials)
    assert np.mean([low <= value <= high for value in best]) >= 0.9
    # The narrowest such values: no more than one search in twenty lies on either side of them, none less would do.
    assert np.mean([value <= low for value in best]) >= 0.05 > np.mean([value < low for value in best])
    assert np.mean([value <= high for value in best]) >= 0.95 > np.mean([value < high for value in best])


def test_curves_count_stopped_trials_and_leave_out_failed_ones_and_short_searches(tmp_path: Path) -> None:
    rows = cell_of([0.5, 0.9, 0.7, 0.6, None, 0.8])
    rows[2]["state"], rows[4]["state"] = "pruned", "failed"
    curves = expected_best_curves(study(tmp_path, [*rows, *cell_of([0.9] * 4, "resnet18")]))
    assert curves["cell"].unique().tolist() == ["vit"]
    assert curves["trials"].tolist() == [1, 2, 3, 4, 5]
    assert curves["accuracy"].tolist() == pytest.approx(
        [expected_best([0.5, 0.9, 0.7, 0.6, 0.8], n) for n in range(1, 6)]
    )
    assert curves["accuracy"].iloc[0] == pytest.approx(0.7) and curves["accuracy"].iloc[-1] == 0.9


def test_both_renderings_show_the_same_curve_and_band(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    made = study(tmp_path, cell_of([0.5, 0.9, 0.7, 0.6, 0.8]))
    findings = weigh(made)
    [picture] = [picture for picture in pictures(made, findings) if picture.name == "expected_best"]
    draw(picture, axes := Figure().add_subplot())
    line, filled = html.figure(picture).data
    curve = findings.expected_best_curves
    assert line.y.tolist() == axes.get_lines()[0].get_ydata().tolist() == curve["accuracy"].tolist()
    assert list(filled.y) == [*curve["high"], *curve["low"][::-1]]
    drawn = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (drawn.min(), drawn.max()) == (curve["low"].min(), curve["high"].max())
    assert "taken for a random draw" in picture.caption and "early-stopped ones count" in picture.caption


@pytest.mark.parametrize(
    ("dimension", "best", "end"),
    [
        (LR, 0.0098, "high"), (LR, 0.000104, "low"), (LR, 0.001, None),
        (LR, 0.0080, "high"), (LR, 0.0079, None),  # 95 % of two decades end at 10 ** -2.1 = 0.00794
        ({"low": 0.1, "high": 0.5}, 0.119, "low"), ({"low": 0.1, "high": 0.5}, 0.121, None),
        ({"low": 0.0, "high": 0.5}, 0.0, None),  # nothing lies below 0
        ({"low": 0.0, "high": 0.5}, 0.5, "high"),
        ([0.1, 0.2, 0.3], 0.3, None),
    ],
)  # fmt: skip
def test_a_best_at_the_end_of_its_range_is_found(tmp_path: Path, dimension: Any, best: float, end: str | None) -> None:
    rows = cell_of([0.7, 0.9])
    rows[0]["weight"], rows[1]["weight"] = 0.2, best
    found = tuning(study(tmp_path, rows, {"weight": dimension, "train_size": {"low": 100, "high": 500}})).at_ends
    assert found == ([AtEnd("vit", "weight", end)] if end else [])


def test_the_answer_names_who_was_tuned_too_little(tmp_path: Path) -> None:
    rows = [*cell_of([0.7, 0.9]), *cell_of([0.6, 0.8, 0.5], "resnet18")]
    rows[1]["lr"] = rows[3]["lr"] = 0.0099
    rows[4]["state"] = "pruned"
    made = study(tmp_path, [*rows[:4], trial_row("mlp-000", 0.5, 50.0), *rows[4:]])
    best = answers(made, intervals(made), comparisons(made))[0]
    assert best.trial == "vit-001"
    assert best.sentences[-2:] == caveats(made) == [
        "The best lr of vit and resnet18 lies at the high end of its range: widen search.lr, the best may lie beyond.",
        "Complete trials per cell differ: vit 2, resnet18 2 and mlp 1 (1 stopped early).",
    ]  # fmt: skip
    assert caveats(study(tmp_path / "fair", [*cell_of([0.7, 0.9]), *cell_of([0.6, 0.8], "resnet18")])) == []


def test_a_model_that_the_time_budget_left_no_trial_is_named(tmp_path: Path) -> None:
    made = study(tmp_path, [*cell_of([0.7, 0.9]), *cell_of([0.6, 0.8], "resnet18")])
    assert caveats(made) == []
    made.spec["models"]["mlp"] = {"search": {}}
    assert caveats(made) == ["Complete trials per cell differ: vit 2, resnet18 2 and mlp 0."]


@pytest.mark.parametrize(
    ("accuracies", "validation", "is_gaining"),
    [
        # Of six, the last two are the last third: without it the expected best is that of four of the six.
        ([0.3, 0.4, 0.4, 0.5, 0.5, 0.9], 400, True),  # 0.9 - (4/6 x 0.9 + ...) = 0.13 against sqrt(.09 / 400) = 0.015
        ([0.3, 0.4, 0.9, 0.5, 0.5, 0.4], 400, False),  # the best came before
        ([0.88, 0.885, 0.89, 0.89, 0.895, 0.9], 400, False),  # no more than luck
        ([0.88, 0.885, 0.89, 0.89, 0.895, 0.9], 10**6, True),
        ([0.3, 0.4, 0.4, 0.9], 400, False),  # four trials are too few to say
    ],
)
def test_a_search_that_still_gained(
    tmp_path: Path, accuracies: list[float | None], validation: int, is_gaining: bool
) -> None:
    found = tuning(made := study(tmp_path, cell_of(accuracies), validation=validation)).gaining
    assert bool(found) == is_gaining == any("more trials may find better" in line for line in caveats(made))


def test_the_luck_of_a_training_is_that_of_the_confirmed_seeds(tmp_path: Path) -> None:
    rows = cell_of([0.3, 0.4, 0.4, 0.5, 0.5, 0.9])
    for seed, value in enumerate((0.88, 0.90, 0.92)):
        rows.append(trial_row(f"vit-005-s{seed}", value, 100.0, phase="confirm", candidate="vit-005", seed=seed))
    [found] = tuning(study(tmp_path, rows)).gaining
    assert found.luck == pytest.approx(0.02)
    assert found.gain == pytest.approx(0.9 - expected_best([0.3, 0.4, 0.4, 0.5, 0.5, 0.9], 4))


def confirmed(folder: Path, searches: dict[str, list[float]]) -> analysis.Study:
    """Cells with these validation accuracies, the best of each confirmed with three seeds that reach about the same."""
    rows = []
    for name, values in searches.items():
        rows += cell_of(list(values), name)
        best = f"{name}-{int(np.argmax(values)):03d}"
        for seed in (1, 2, 3):
            tested = {"test_accuracy": max(values) + 0.001 * (seed - 2), "test_images": 10_000}
            row = trial_row(
                f"{best}-seed{seed}", max(values), 100.0, phase="confirm", candidate=best, seed=seed, **tested
            )
            rows.append(row)
    return study(folder, rows)


@pytest.mark.parametrize(
    ("rival", "doubt"),
    [
        # The best is at 90 %; of the rival the best four count.
        ([0.80, 0.79, 0.78, 0.75, 0.10], ""),  # they lie 5 points apart, it is 10 behind
        ([0.80, 0.79, 0.78, 0.60], "vit is 10.0 points behind but its best 4 trials lie 20.0 points apart"),
        ([0.80, 0.79, 0.78], "fewer than 4 trials of vit are complete"),
    ],
)
def test_a_lead_holds_where_it_exceeds_the_spread_of_the_rivals_best_trials(
    tmp_path: Path, rival: list[float], doubt: str
) -> None:
    made = confirmed(tmp_path, {"resnet18": [0.9, 0.5], "vit": rival})
    pairs = comparisons(made)
    assert pairs["differ"].all()
    text = " ".join(answers(made, intervals(made), pairs)[0].sentences)
    claim = (
        f"It is more accurate than every other candidate, each as tuned with 2 to {len(rival)} trials per cell (p = "
    )
    assert (claim in text) == (not doubt)
    assert ("it did better than every other candidate (p = " in text) == bool(doubt)
    assert other_settings(made, pairs) == ([f"Other settings may close the gap: {doubt}."] if doubt else [])
    assert doubt in text


def test_a_rival_that_is_not_told_apart_or_of_the_same_cell_is_no_matter_of_tuning(tmp_path: Path) -> None:
    alike = confirmed(tmp_path / "alike", {"resnet18": [0.9, 0.5], "vit": [0.899, 0.2, 0.2, 0.2]})
    assert not comparisons(alike)["differ"].any() and not list(may_catch_up(alike, comparisons(alike)))
    one = confirmed(tmp_path / "one", {"resnet18": [0.9, 0.5], "vit": [0.5, 0.2]})
    pairs = comparisons(one)
    one.trials["cell"] = "resnet18"
    assert pairs["differ"].all() and not list(may_catch_up(one, pairs))


def test_merged_studies_name_the_study_of_a_rival_that_may_catch_up(tmp_path: Path) -> None:
    searches = {"resnet18": [0.9, 0.5], "vit": [0.8, 0.7, 0.7, 0.6]}
    confirmed(tmp_path / "one", searches)
    confirmed(tmp_path / "two", searches | {"vit": [0.8, 0.79, 0.78, 0.77]})
    both = analysis.load(tmp_path / "one", tmp_path / "two")
    [behind] = may_catch_up(both, comparisons(both))
    assert behind.cell == "one/vit" and (behind.gap, behind.spread) == pytest.approx((0.1, 0.2))


@given(st.lists(st.floats(0, 1), min_size=4, max_size=9), st.lists(st.floats(0, 1), max_size=3))
def test_only_better_trials_change_the_spread_of_the_best(values: list[float], worse: list[float]) -> None:
    lowest = min(sorted(values)[-4:])
    assert spread_of_best(np.array(values + [lowest * share for share in worse])) == spread_of_best(np.array(values))
    assert np.isnan(spread_of_best(np.array(values[:3])))


def test_an_older_folder_without_cells_has_one_per_model(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "cell"} for row in cell_of([0.5, 0.9, 0.7, 0.6, 0.8])]
    assert expected_best_curves(study(tmp_path, rows))["cell"].unique().tolist() == ["vit"]


def test_merged_studies_are_tuned_each_for_itself(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    study(one, cell_of([0.7, 0.9]))
    rows = cell_of([0.7, 0.9, 0.8])
    rows[1]["lr"] = 0.01
    study(two, rows)
    both = analysis.load(one, two)
    assert tuning(both).at_ends == [AtEnd("two/vit", "lr", "high")]
    assert tuning(both).unequal == []  # the cells of one study are equal
    assert pd.isna(both.trials["cell"]).sum() == 0


@pytest.mark.parametrize("seeds", [0, 3])
def test_a_best_of_the_search_is_called_unconfirmed_wherever_it_is_shown(
    tmp_path: Path, ask, capsys: pytest.CaptureFixture[str], seeds: int
) -> None:
    folder = write_study(tmp_path / "s", trials=6, seeds=seeds)
    made = analysis.load(folder)
    found = weigh(made)
    candidates = report_tables.candidates(made, found.intervals)
    assert candidates is not None
    sentences = answers(made, found.intervals, comparisons(made))[0].sentences
    said = [candidates.title, overview(tmp_path)[0]["best"][0], sentences[0]]
    print_summary(made)
    said.append(" ".join(capsys.readouterr().out.split()))
    for verb in ("table", "best", "pareto"):
        said.append(ask(verb, folder, "--format", "csv")[2])
    assert ["unconfirmed, optimistic" in text for text in said] == [not seeds] * len(said)
    # The pictures show search trials in any case; token merging shows all of them and picks none.
    shown = {picture.name: picture for picture in pictures(made, found)}
    for name in ("accuracy_vs_speed", "expected_best", "learning_curves", "size_scaling"):
        assert "unconfirmed, optimistic" in shown[name].caption
