"""What the benchmarks compute from their measurements; `make bench` measures."""

from __future__ import annotations

import os

import pytest

from benchmarks.figure import Figure, at_least, at_most
from benchmarks.small_study import overhead, start_up
from benchmarks.suite import NAMES, RESULTS, alone, environment, page


def test_overhead_is_the_time_of_workers_outside_epochs() -> None:
    # Worker 1: trials end at 10, 13, 16; worker 2: at 11, 15. Start-up, whatever it took, is over at 10 and 11.
    ends, inside = [10.0, 11.0, 13.0, 15.0, 16.0], [1.0, 1.0, 2.0, 3.0, 2.0]
    # From there to the end at 16: 6 + 5 seconds, of which 7 inside epochs, over 3 trials.
    assert overhead(ends, inside, workers=2) == pytest.approx((11 - 7) / 3)
    assert start_up(4.0, ends, inside) == pytest.approx(5.0)


def test_the_page_has_targets_measurements_and_verdicts() -> None:
    machine = {
        "date": "2026-01-01T00:00:00", "python": "3.11", "versions": {"torch": "2.14"}, "git_commit": "abc",
        "hardware": {"cpu": "EPYC", "cpus": 2, "memory_gb": 8, "gpus": [], "system": "Linux"},
    }  # fmt: skip
    rows = [
        ("a", at_least("speed", 1.234, 1.2)),
        ("a", at_most("share", 7.0, 5, " %")),
        ("b", Figure("seconds", "3 s")),
    ]
    text = page(machine, rows, {"a": 60.0, "b": 30.0})
    assert "| a | speed | 1.2x or more | 1.23x | yes |" in text
    assert "| a | share | 5 % or less | 7 % | **no** |" in text
    assert "| b | seconds | none | 3 s |  |" in text
    assert "2 x EPYC" in text and "torch 2.14" in text and "1.5 minutes" in text


def test_the_suite_has_every_benchmark_of_the_folder() -> None:
    files = {path.stem for path in RESULTS.parent.glob("*.py")}
    apart = {
        "__init__",
        "__main__",
        "engines",  # 15 minutes by itself
        "few_images",
        "figure",
        "recorded_studies",
        "small_study",
        "suite",
        "surfaces",
        "trained_table",
    }
    assert files - apart == set(NAMES)


def test_a_function_alone_runs_in_a_process_of_its_own() -> None:
    assert alone(os.getpid) != os.getpid()
    assert {"hardware", "versions", "python", "date"} <= set(alone(environment))
