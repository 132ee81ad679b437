"""Limits of a space on a real ledger: which cells are left out, what is proposed and confirmed, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from record.errors import UserError
from record.limits import CERTAINLY, NOT, PERHAPS
from study import limits, tables
from study.candidates import candidates
from study.cells import cells, distributions
from study.costs import DataFacts
from study.ledger import IsolatedTiming, Ledger
from study.proposals import SearchProposals
from study.search.grid import Point
from study.space.overrides import Overrides
from study.space.reading import resolve
from study.space.resume import Stored, resumed
from study.space.schema import StudySpec

P99 = "latency_ms_p99"
RATIOS = {0.0: 12.0, 0.2: 10.0, 0.4: 8.0, 0.6: 6.0, 0.8: 4.0}  # tome_ratio: milliseconds


def a_space(sampler: str | None = None, **limited: float) -> StudySpec:
    return resolve(
        {
            "description": "x", "data": {"name": "digits"}, "trials": 8, "early_stopping": None, "limits": limited,
            "objectives": ["val_accuracy"], "sampler": sampler and {"name": sampler},
            "all_models": {"epochs": 1, "search": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}},
            "models": {
                "vit_tome": {"search": {"tome_ratio": {"low": 0.0, "high": 0.8}}},
                "resnet18": {"factors": {"width": [16, 64]}},
                "scratch_vit": {"search": {"depth": [2, 4]}},
            },
        },
        "my.yaml",
    )  # fmt: skip


def timed(ledger: Ledger, spread: float = 0.1) -> Ledger:
    """vit_tome at five ratios takes 12 to 4 ms and has 20 parameters, resnet18 2 and 30 ms; scratch_vit 4 and 9."""
    points: list[tuple[str, dict[str, Any], float, int]] = [
        *(("vit_tome", {"tome_ratio": ratio}, ms, 20) for ratio, ms in RATIOS.items()),
        ("resnet18", {"width": 16}, 2.0, 5), ("resnet18", {"width": 64}, 30.0, 90),
        ("scratch_vit", {"depth": 2}, 4.0, 50), ("scratch_vit", {"depth": 4}, 9.0, 60),
    ]  # fmt: skip
    for model, point, ms, parameters in points:
        figures = {
            "inference_images_per_second": 1000 / ms,
            "train_step_seconds": ms,
            "parameters": parameters,
            P99: ms,
        }
        figures |= {f"{P99}_low": ms - spread, f"{P99}_high": ms + spread}
        ledger.add_timing(IsolatedTiming(model, "profile", point, point, figures))
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path, a_space(**{P99: 7.0})) as ledger:
        yield timed(ledger)


def search(ledger: Ledger) -> None:
    proposals = SearchProposals(ledger)
    while (trial := proposals.next()) is not None:
        accuracy = float(trial.params["lr"])
        ledger.record(trial, {"epoch": 1, "val_accuracy": accuracy, "train_seconds": 1.0, "eval_seconds": 1.0})
        ledger.finish(trial, "complete", [accuracy])


def test_a_cell_is_judged_by_the_best_of_its_timed_settings(ledger: Ledger) -> None:
    verdicts = {cell.name: limits.of_cell(ledger, cell) for cell in cells(ledger.spec)}
    assert verdicts == {
        "vit_tome": CERTAINLY, "resnet18-width=16": CERTAINLY, "resnet18-width=64": NOT, "scratch_vit": CERTAINLY,
    }  # fmt: skip
    assert limits.report(ledger) == [
        "limits: resnet18-width=64 is left out, not under latency_ms_p99 7 ms: 30 ms (29.9 to 30.1)"
    ]


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(0.8, CERTAINLY), (0.55, CERTAINLY), (0.5, PERHAPS), (0.45, NOT), (0.0, NOT)]
)
def test_between_timed_settings_the_interval_is_interpolated(ledger: Ledger, ratio: float, verdict: str) -> None:
    """At 0.5 it is 7 ms, from 6.9 to 7.1."""
    assert limits.verdict(ledger, "vit_tome", {"tome_ratio": ratio, "lr": 1.0}) == verdict


@pytest.mark.parametrize("sampler", [None, "TPESampler", "RandomSampler", "NSGAIISampler", "QMCSampler"])
def test_trials_are_spent_where_the_limits_can_hold(tmp_path: Path, sampler: str | None) -> None:
    with Ledger(tmp_path, a_space(sampler, **{P99: 7.0})) as ledger:
        search(timed(ledger))
        assert {len(ledger.of(cell)) for cell in limits.open_cells(ledger)} == {8}
        assert len(ledger.trials) == 24 and not [t for t in ledger.trials if t.startswith("resnet18-width=64")]
        assert all(limits.of_trial(ledger, trial) != NOT for trial in ledger.trials.values())
        ratios = {trial.params["tome_ratio"] for trial in ledger.trials.values() if trial.cell.entry == "vit_tome"}
        assert len(ratios) > 2 and all(0.45 < float(ratio) <= 0.8 for ratio in ratios)
        assert {trial.params["depth"] for trial in ledger.trials.values() if trial.cell.entry == "scratch_vit"} == {2}


def test_what_does_not_change_the_speed_is_proposed_as_without_limits(tmp_path: Path) -> None:
    rates = []
    for name, limited in (("free", {}), ("limited", {P99: 7.0})):
        (tmp_path / name).mkdir()
        with Ledger(tmp_path / name, a_space(**limited)) as ledger:
            search(timed(ledger))
            rates.append([t.params["lr"] for t in ledger.trials.values() if t.cell.entry == "vit_tome"])
    assert rates[0] == rates[1]


def test_only_trials_that_hold_the_limits_are_confirmed_and_on_the_front(ledger: Ledger) -> None:
    search(ledger)
    for name, settings, accuracy in (("vit_tome", {"tome_ratio": 0.0}, 0.99), ("resnet18", {}, 0.98)):
        cell = next(cell for cell in reversed(cells(ledger.spec)) if cell.entry == name)
        trial = ledger.ask(cell, Point(distributions(ledger.spec.models[name]), {"lr": 0.1} | settings))
        ledger.record(trial, {"epoch": 1, "val_accuracy": accuracy, "train_seconds": 1.0, "eval_seconds": 1.0})
        ledger.finish(trial, "complete", [accuracy])
    chosen = candidates(ledger)
    assert {trial.cell.entry for trial in chosen} == {"vit_tome", "resnet18", "scratch_vit"}
    assert all(limits.of_trial(ledger, trial) != NOT for trial in chosen)
    rows = tables.trial_rows(ledger, DataFacts("digits", 100, 20, 20))
    held = [row for row in rows if limits.of_trial(ledger, ledger.trials[str(row["trial"])]) != NOT]
    best = max(row["val_accuracy"] for row in held)  # the only objective
    assert len(held) < len(rows)
    assert [row for row in rows if row["pareto"]] == [row for row in held if row["val_accuracy"] == best]


def test_a_study_that_no_model_can_hold_ends_with_the_nearest_in_a_line(tmp_path: Path) -> None:
    with Ledger(tmp_path, a_space(**{P99: 3.0, "parameters": 4.0})) as ledger:
        limits.check(ledger)  # nothing is timed yet
        with pytest.raises(UserError) as error:
            limits.check(timed(ledger))
    message = str(error.value)
    assert "the nearest is resnet18-width=16, not under parameters 4: 5;" in message and "\n" not in message


def test_two_limits_that_different_settings_hold_are_held_by_none(tmp_path: Path) -> None:
    """Each limit alone can be held by vit_tome or by resnet18, both together by neither."""
    with Ledger(tmp_path, a_space(**{P99: 7.0, "parameters": 20.0})) as ledger:
        names = [cell.name for cell in limits.open_cells(timed(ledger))]
        assert names == ["vit_tome", "resnet18-width=16"]


@pytest.mark.parametrize(
    ("limited", "words"),
    [
        ({"latency_ms_p98": 5}, "limits.latency_ms_p98: .*did you mean 'latency_ms_p99'"),
        ({"val_accuracy": 0.9}, "limits.val_accuracy: 'val_accuracy' is not a figure that is measured alone"),
        ({"parameters": 0}, "limits.parameters: must be above 0, got 0"),
        ({"parameters": "many"}, "limits.parameters: a number is needed, got 'many'"),
    ],
)
def test_limits_that_cannot_be_are_refused(limited: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        a_space(**limited)


def test_limits_need_the_profile_phase() -> None:
    raw = a_space(**{P99: 5.0}).model_dump(mode="json") | {"phases": ["search"]}
    with pytest.raises(UserError, match="profile is missing, which measures latency_ms_p99"):
        resolve(raw, "my.yaml")


def test_a_resumed_study_may_change_its_limits(tmp_path: Path) -> None:
    """They say where further trials are spent, and nothing about those that have ended."""
    raw = a_space(**{P99: 5.0}).model_dump(mode="json")
    spec = resumed(tmp_path, Stored(raw, raw), None, Overrides(settings=(f"limits.{P99}=20",)), "x")
    assert spec.limits == {P99: 20.0}
