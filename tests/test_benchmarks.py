"""What the benchmarks compute from their measurements; `make bench` measures."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from benchmarks import gpu_check
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
        "gpu_check",  # on a CUDA machine
        "recorded_studies",
        "small_study",
        "suite",
        "surfaces",
        "trained_table",
    }
    assert files - apart == set(NAMES)


def fails(device: torch.device) -> Iterator[Figure]:
    yield at_least("before it fails", 2, 1)
    raise RuntimeError("two\nlines")


def test_the_gpu_check_goes_on_after_an_error_and_ends_with_its_table_and_status() -> None:
    def passes(device: torch.device) -> list[Figure]:
        return [Figure("only reported", device.type)]

    figures = list(gpu_check.run([fails, passes], torch.device("cpu")))
    assert gpu_check.exit_status(figures[:1]) == gpu_check.exit_status(figures[2:]) == 0
    assert gpu_check.exit_status(figures) == 1
    assert gpu_check.table(figures).splitlines()[2:] == [
        "| before it fails | 2.00x | 1x or more | yes |",
        "| fails | RuntimeError: two lines | no error | **no** |",
        "| only reported | cpu | none |  |",
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU to check")
def test_the_gpu_check_says_in_one_line_that_there_is_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main() == 0
    assert capsys.readouterr().out == "gpu_check: there is no CUDA GPU here, so nothing was checked\n"


def test_a_function_alone_runs_in_a_process_of_its_own() -> None:
    assert alone(os.getpid) != os.getpid()
    assert {"hardware", "versions", "python", "date"} <= set(alone(environment))
