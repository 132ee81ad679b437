"""What a plan says of a study folder: how many trials fit, who can win, where the gain flattens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import trial_row, write_tables

import analysis
from analysis.read.errors import StudyError
from analysis.tell.plan import flattening
from analysis.weigh.outlook import outlook, round_seconds, table


def study(folder: Path, accuracies: dict[str, list[float]], speeds: dict[str, float], **environment: object) -> Path:
    rows = [
        trial_row(f"{model}-{i:03d}", accuracy, speeds[model])
        for model, values in accuracies.items()
        for i, accuracy in enumerate(values)
    ]
    write_tables(folder, rows)
    pd.DataFrame({"model": list(speeds), "inference_images_per_second": list(speeds.values())}).to_csv(
        folder / "profile.csv", index=False
    )
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


THREE = {"good": [0.90, 0.91, 0.89, 0.92], "alike": [0.91, 0.90, 0.92, 0.88], "poor": [0.50, 0.51, 0.52, 0.49]}


def test_what_cannot_win_is_neither_accurate_nor_fast(tmp_path: Path) -> None:
    speeds = {"good": 100.0, "alike": 300.0, "poor": 200.0}
    view = outlook(analysis.load(study(tmp_path, THREE, speeds, duration_seconds={"search": 1440})), [1.0])
    # 4 rounds took 1440 s: one takes 360, and ten fit into an hour.
    assert view.trials == [10]
    rows = table(view, "val_accuracy", chance=0.05).set_index("cell")
    assert rows.can_win.to_dict() == {"good": "yes", "alike": "yes", "poor": "cannot win"}
    assert rows.chance_best["good"] + rows.chance_best["alike"] == pytest.approx(1, abs=0.05)
    assert rows.chance_front["alike"] == 1.0  # none is as fast
    assert (rows.low <= rows.best_val_accuracy).all() and (rows.best_val_accuracy <= rows.high).all()
    assert rows.low["good"] >= 0.92 * 31 / 32 - 1e-6  # what the last epoch of the best trial had


def test_the_fastest_can_win_however_poor(tmp_path: Path) -> None:
    speeds = {"good": 100.0, "alike": 300.0, "poor": 900.0}
    view = outlook(analysis.load(study(tmp_path, THREE, speeds, duration_seconds={"search": 1440})), [1.0])
    assert table(view, "val_accuracy", chance=0.05).set_index("cell").can_win["poor"] == "yes"


def test_without_speeds_only_the_most_accurate_can_win(tmp_path: Path) -> None:
    folder = study(tmp_path, THREE, dict.fromkeys(THREE, float("nan")), duration_seconds={"search": 1440})
    rows = table(outlook(analysis.load(folder), [1.0]), "val_accuracy", chance=0.05).set_index("cell")
    assert rows.can_win.to_dict() == {"good": "yes", "alike": "yes", "poor": "cannot win"}


def test_without_a_finished_search_the_expected_duration_counts_less_what_the_other_phases_take(tmp_path: Path) -> None:
    speeds = dict.fromkeys(THREE, 100.0)
    expected = {"search": 800.0, "confirm": 1200.0}
    folder = study(tmp_path, THREE, speeds, expected_seconds=expected, duration_seconds={"profile": 400.0})
    (folder / "study.yaml").write_text("trials: 8\n")
    known = analysis.load(folder)
    assert round_seconds(known) == 100
    assert outlook(known, [0.1, 1.0]).trials == [0, 24]
    # A pilot's hours are the whole study's: the profile phase is one of them.
    assert outlook(known, [1.0], pilot=True).trials == [20]


def test_the_gain_flattens_sooner_where_less_is_not_worth_it(tmp_path: Path) -> None:
    folder = study(tmp_path, THREE, dict.fromkeys(THREE, 100.0), duration_seconds={"search": 1440})
    hours = []
    for gain in (0.2, 2):
        (folder / "study.yaml").write_text(f"min_gain_per_hour: {gain}\n")
        sentence = flattening(analysis.load(folder), 1000)
        assert f"expected to gain less than {gain:g} points of accuracy" in sentence
        hours.append(float(sentence.split()[2]))
    assert hours[0] > hours[1]
    (folder / "study.yaml").write_text("min_gain_per_hour: 0.001\n")
    assert "does not flatten" in flattening(analysis.load(folder), 0.2)


def test_running_trials_count_by_their_epochs_so_far(tmp_path: Path) -> None:
    folder = study(tmp_path, {"good": [0.9, 0.8]}, {"good": 100.0}, expected_seconds={"search": 100.0})
    (folder / "study.yaml").write_text("trials: 2\n")
    trials = pd.read_csv(folder / "trials.csv")
    trials["state"] = "running"
    trials.to_csv(folder / "trials.csv", index=False)
    epochs = pd.read_csv(folder / "epochs.csv")
    epochs[epochs.epoch <= 2].to_csv(folder / "epochs.csv", index=False)
    draws = outlook(analysis.load(folder), [0.0001]).draws["good"]
    assert np.quantile(draws, 0.9) > 0.9 * (1 - 0.5**2) + 0.02 and draws.std() > 0
    epochs[:0].to_csv(folder / "epochs.csv", index=False)
    with pytest.raises(StudyError, match="no search trial has ended or has an epoch yet"):
        outlook(analysis.load(folder), [1.0])
