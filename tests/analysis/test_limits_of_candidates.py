"""Limits on a finished study: which candidates hold them, what `best` and the answer say, what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from fake_study import confirmed_study, trial_row, write_tables

import analysis
from analysis.read.candidates import choices
from analysis.read.timings import doubt, timing
from analysis.tell.answer import answers
from analysis.tell.summary import print_summary
from analysis.weigh.comparison import comparisons, intervals
from analysis.weigh.limits import holding, verdicts
from record.limits import Limit, measured

P99 = "latency_ms_p99"
# (model, ratio, p99, its interval, disturbed): the middle ratio of vit_tome was not timed.
TIMINGS = [
    ("vit", None, 8.0, 7.5, 8.5, None), ("resnet18", None, 4.0, 3.5, None, None), ("scratch_vit", None, 2.0, 1.9, 2.1, None),
    ("vit_tome", 0.0, 6.0, 5.5, 6.5, None), ("vit_tome", 0.5, 4.0, 3.8, 4.2, None), ("mobile", None, 9.0, 8.0, 9.5, "busy"),
]  # fmt: skip
TRIALS: list[tuple[str, float, float, dict[str, Any]]] = [
    ("vit-000", 0.95, 100.0, {P99: 8.0}), ("resnet18-000", 0.90, 300.0, {P99: 4.0}),
    ("vit_tome-000", 0.94, 200.0, {P99: 6.0, "tome_ratio": 0.0}), ("vit_tome-001", 0.93, 220.0, {P99: 5.0, "tome_ratio": 0.25}),
    ("vit_tome-002", 0.92, 250.0, {P99: 4.0, "tome_ratio": 0.5}), ("scratch_vit-000", 0.8, 500.0, {P99: 2.0}),
    ("mobile-000", 0.5, 80.0, {P99: 9.0}),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_study(tmp_path / "s")


def a_study(folder: Path, **limits: float) -> Path:
    write_tables(folder, [trial_row(name, accuracy, speed, **more) for name, accuracy, speed, more in TRIALS])
    columns = ["model", "tome_ratio", P99, f"{P99}_low", f"{P99}_high", "busy"]
    pd.DataFrame(TIMINGS, columns=columns).to_csv(folder / "profile.csv", index=False)
    (folder / "study.yaml").write_text(yaml.safe_dump({"task": "image_classification", "limits": limits}))
    return folder


@pytest.mark.parametrize(
    ("limit", "expected"),
    [  # in the order of TRIALS
        (5.0, ["not", "perhaps", "not", "perhaps", "certainly", "certainly", "perhaps"]),
        (
            4.0,
            ["not", "perhaps", "not", "perhaps", "perhaps", "certainly", "perhaps"],
        ),  # between the ratios: 3.8 to 6.5
        (3.7, ["not", "perhaps", "not", "not", "not", "certainly", "perhaps"]),  # the last one was disturbed
        (10.0, ["certainly", "perhaps", "certainly", "certainly", "certainly", "certainly", "certainly"]),
    ],
)
def test_verdicts_on_candidates_by_hand(folder: Path, limit: float, expected: list[str]) -> None:
    study = analysis.load(folder)
    found = verdicts(study, choices(study)[0], [Limit(P99, limit)])
    assert found[f"under_{P99}"].tolist() == expected


def test_a_setting_between_two_timed_ones_has_the_interval_that_holds_both(folder: Path) -> None:
    study = analysis.load(folder)
    row = study.trials.set_index("trial").loc["vit_tome-001"].to_dict()
    timed = timing(study, row, P99)
    assert (timed[P99], timed[f"{P99}_low"], timed[f"{P99}_high"]) == (5.0, 3.8, 6.5)


def test_a_candidate_must_hold_every_limit(folder: Path) -> None:
    study = analysis.load(folder)
    rows = choices(study)[0]
    both = [Limit(P99, 5.0), Limit("inference_images_per_second", 250.0)]
    assert holding(study, rows, both)["trial"].tolist() == ["resnet18-000", "vit_tome-002", "scratch_vit-000"]
    assert len(holding(study, rows, [])) == len(rows)


def test_best_answers_with_candidates_under_the_limit_and_says_how_surely(folder: Path, ask: Any) -> None:
    status, out, _ = ask("best", folder, "--under", f"{P99}=5", "--under", "parameters=10e6", "--format", "json")
    rows = pd.read_json(io.StringIO(out))
    assert status == 0 and not {"vit-000", "vit_tome-000"} & set(rows.trial)
    first = rows.iloc[0]
    assert (first.need, first.trial) == ("most accurate", "vit_tome-001")
    assert (first[P99], first[f"under_{P99}"], first.under_parameters) == (5.0, "perhaps", "certainly")
    status, out, _ = ask("pareto", folder, "--under", f"{P99}=5", "--format", "csv")
    assert status == 0 and ",vit-000" not in out and f"under_{P99}" in out


def test_where_no_candidate_holds_it_the_nearest_is_named(folder: Path, ask: Any) -> None:
    status, _, err = ask("best", folder, "--under", "inference_images_per_second=600")
    assert status == 1
    nearest = "the nearest is scratch_vit-000: not above inference_images_per_second 600 images/s: 500 images/s"
    assert f"no candidate is above inference_images_per_second 600 images/s; {nearest}" in err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("latency_ms_p98=5", "did you mean 'latency_ms_p99'"), ("latency_ms_p99", "write NAME=NUMBER"),
        ("latency_ms_p99=soon", "a number above 0 is needed, got 'soon'"),
        ("latency_ms_p95=5", "this study did not measure it"), ("tome_ratio=1", "not a figure that is measured alone"),
    ],
)  # fmt: skip
def test_limits_that_cannot_be_are_refused_in_a_line(folder: Path, ask: Any, option: str, words: str) -> None:
    status, out, err = ask("best", folder, "--under", option)
    assert status == 2 and out == "" and err.count("\n") == 1 and words in err and "--under" in err


def test_the_answer_of_a_study_with_limits_speaks_of_those_that_hold_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = analysis.load(a_study(tmp_path / "limited", **{P99: 5.0}))
    found = answers(study, intervals(study), comparisons(study))
    assert found[0].trial == "vit_tome-001" and "Most accurate" in found[0].needs
    assert found[0].sentences[1] == "It is perhaps under latency_ms_p99 5 ms: 5 ms (3.8 to 6.5)."
    assert not {"vit-000", "vit_tome-000"} & {answer.trial for answer in found}
    print_summary(study)
    assert "slowest first, under latency_ms_p99 5 ms): " in " ".join(capsys.readouterr().out.split())


def test_an_answer_says_that_no_candidate_holds_the_limits(tmp_path: Path) -> None:
    study = analysis.load(a_study(tmp_path / "limited", **{P99: 5.0, "parameters": 10.0}))
    best = answers(study, intervals(study), comparisons(study))[0]
    assert best.trial == "vit-000"
    judged = "not under latency_ms_p99 5 ms: 8 ms (7.5 to 8.5) and not under parameters 10: 1,000,000"
    assert best.sentences[1] == f"It is {judged}."


def test_the_most_accurate_one_within_the_limits_is_compared_with_the_others(tmp_path: Path) -> None:
    """vit is more accurate in validation, but breaks the limit."""
    folder = confirmed_study(tmp_path / "s")
    profile = pd.DataFrame({"model": ["vit", "vit_tome", "resnet18"], P99: [9.0, 4.0, 3.0]})
    profile.to_csv(folder / "profile.csv", index=False)
    pairs = {}
    for limit in (20.0, 5.0):
        (folder / "study.yaml").write_text(yaml.safe_dump({"task": "image_classification", "limits": {P99: limit}}))
        pairs[limit] = comparisons(analysis.load(folder))
    assert set(pairs[20.0]["first"]) == {"vit-000"} and set(pairs[5.0]["first"]) == {"vit_tome-000"}
    assert set(pairs[5.0]["second"]) == {"vit-000", "resnet18-000"}


def test_the_table_under_a_limit_shows_the_best_of_those_that_may_hold_it(folder: Path, ask: Any) -> None:
    """vit (8 ms) has none; vit_tome's most accurate at ratio 0 (6 ms) breaks it, the one between two timings may hold it."""
    status, out, _ = ask("table", folder, "--under", f"{P99}=5", "--format", "json")
    rows = pd.read_json(io.StringIO(out)).set_index("model")
    assert status == 0
    assert pd.isna(rows.trial["vit"]) and pd.isna(rows.on_front["vit"])
    assert rows.trial[["vit_tome", "resnet18", "scratch_vit"]].tolist() == [
        "vit_tome-001",
        "resnet18-000",
        "scratch_vit-000",
    ]
    assert rows.on_front[["vit_tome", "resnet18", "scratch_vit"]].astype(bool).all()
    status, out, _ = ask("table", folder, "--under", f"{P99}=5")
    assert status == 0 and f"under {P99} 5 ms): vit_tome-001," in " ".join(out.split())
    status, out, err = ask("table", folder, "--under", "latency_ms_p98=5")
    assert status == 2 and "did you mean" in err and out == ""


def test_a_limit_that_nothing_holds_leaves_no_front(folder: Path, ask: Any) -> None:
    status, out, _ = ask("table", folder, "--under", "inference_images_per_second=600")
    shown = " ".join(out.split())
    assert status == 0 and "no candidate is above inference_images_per_second 600" in shown.lower()
    assert "above inference_images_per_second 600 images/s): empty" in shown and " yes " not in out
    status, out, _ = ask("table", folder, "--under", "inference_images_per_second=600", "--format", "json")
    assert status == 0 and not pd.read_json(io.StringIO(out)).on_front.any()


def test_what_was_not_timed_is_not_shown_as_nan_milliseconds() -> None:
    limit = Limit(P99, 5.0)
    assert measured(P99, {}) == "not measured"
    assert limit.excess({}) == float("inf") and limit.excess({P99: 10.0}) == 2.0 and limit.verdict({}) == "perhaps"


def test_a_doubtful_timing_marks_the_settings_that_rest_on_it_and_no_others(folder: Path) -> None:
    """vit_tome's ratio of 0.5 was disturbed: its own speed and the one interpolated from it are doubtful, not that of 0."""
    profile = pd.read_csv(folder / "profile.csv").assign(inference_images_per_second=100.0, uncertainty=0.05)
    profile.loc[profile["tome_ratio"] == 0.5, "busy"] = "other work"
    profile.loc[profile["model"] == "scratch_vit", "uncertainty"] = 0.12
    profile.to_csv(folder / "profile.csv", index=False)
    study = analysis.load(folder)
    doubts = {row["trial"]: doubt(study, row) for row in study.trials.to_dict("records")}
    others = "do not rely on this speed: other work"
    assert {trial: said for trial, said in doubts.items() if said} == {
        "vit_tome-001": others,
        "vit_tome-002": others,
        "scratch_vit-000": "uncertain by 12%",
        "mobile-000": "do not rely on this speed: busy",
    }
