"""A study of several engines from its space to its answer, and after a kill."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from conftest import PATIENCE, Program, one_error
from test_interruptions import kill_when_it_has_done, start

import analysis
from analysis.read.candidates import choices
from models import engines

SPACE = """
description: one tiny model in two engines
data: {name: digits}
objectives: [val_accuracy, inference_images_per_second]
trials: 2
checkpoint_seconds: 0
confirm: {seeds: 2, candidates: 1}
engines: [torch, onnxruntime]
models:
  scratch_vit:
    epochs: 2
    train_size: 300
    image_size: 16
    patch_size: 4
    width: 32
    depth: 1
    heads: 2
    feed_forward: 64
    resources: {cpus: 1}
    search: {lr: {low: 1.0e-3, high: 1.0e-2, log: true}}
"""
SEARCHED = 4  # epochs


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason=f"needs the extra: {engines.EXTRA}")
@pytest.mark.parametrize("epochs_before_the_kill", [SEARCHED + 1, SEARCHED + 2, SEARCHED + 3])
def test_a_killed_study_has_each_engine_of_each_confirmed_trial_once(
    tmp_path: Path, run_study: Program, epochs_before_the_kill: int
) -> None:
    (tmp_path / "two.yaml").write_text(SPACE)
    folder = tmp_path / "results" / "two"
    kill_when_it_has_done(start(tmp_path, "--space", "two.yaml"), folder, epochs_before_the_kill)
    result = run_study("--name", "two", "--resume", cwd=tmp_path, timeout=PATIENCE)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = pd.read_csv(folder / "engines.csv")
    confirmed = pd.read_csv(folder / "trials.csv").query("phase == 'confirm'")
    assert Counter(zip(rows.trial, rows.engine, strict=True)) == {
        (trial, engine): 1 for trial in confirmed.trial for engine in ("torch", "onnxruntime")
    }
    assert (
        rows.test_accuracy.notna().all() and rows.inference_images_per_second.gt(0).all() and rows.refused.isna().all()
    )
    for trial in confirmed.trial:
        assert (folder / "predictions" / f"{trial}.onnxruntime.npy").exists()
    profile = pd.read_csv(folder / "profile.csv")
    assert sorted(profile[profile.phase == "profile"].engine) == ["onnxruntime", "torch"]
    chosen, accuracy = choices(analysis.load(folder))
    assert sorted(chosen.engine) == ["onnxruntime", "torch"] and accuracy == "test_accuracy"


def test_an_engine_that_does_not_exist_is_refused_before_anything_runs(tmp_path: Path, run_study: Program) -> None:
    (tmp_path / "two.yaml").write_text(SPACE.replace("onnxruntime", "onnx_runtime"))
    message = one_error(run_study("--space", "two.yaml", cwd=tmp_path))
    assert message == "error: two.yaml: engines: unknown engine 'onnx_runtime'; did you mean 'onnxruntime'?\n"
    assert not (tmp_path / "results").exists()
