"""What the study costs besides the training: one-epoch trials on digits, two at a time.

python -m benchmarks.study_overhead

Compared with the same study without reuse of workers, and with a plain Tune function trainable, Tune's default. Both
get fewer trials to save time: the figures are seconds per trial.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from benchmarks.figure import Figure, at_least, at_most, show
from benchmarks.small_study import TINY_VIT, overhead, run_small_study, start_up

TRIALS, FEWER = 32, 8
AT_ONCE = 2
MAX_SECONDS, MIN_RATIO = 0.5, 10.0
SPACE: dict[str, object] = {
    "data": {"name": "digits"},
    "objectives": ["val_accuracy"],
    "phases": ["search"],
    "models": {
        "tiny": TINY_VIT | {"epochs": 1, "search": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}},
    },
}


def run() -> Iterator[Figure]:
    plain_ends, plain_epochs = plain_tune(FEWER)
    plain = overhead(plain_ends, plain_epochs, AT_ONCE)
    fresh = run_small_study(SPACE | {"trials": FEWER}, reuse_workers=False)
    without_reuse = overhead(fresh.ends(), fresh.epoch_seconds(), AT_ONCE)
    study = run_small_study(SPACE | {"trials": TRIALS})
    ends, epochs = study.ends(), study.epoch_seconds()
    ours = overhead(ends, epochs, AT_ONCE)
    inside = f" (inside its epoch: {sum(epochs) / len(epochs):.2f} s)"
    yield at_most(f"overhead per trial, {TRIALS} one-epoch trials", ours, MAX_SECONDS, " s", inside)
    yield at_least(
        "overhead per trial of a plain Tune function trainable against that",
        plain / ours,
        MIN_RATIO,
        note=f" ({plain:.2f} s per trial)",
    )
    yield Figure("overhead per trial without reuse of workers", f"{without_reuse:.2f} s")
    yield Figure("start-up, until the first trial trains", f"{start_up(study.started, ends, epochs):.1f} s")
    yield Figure("shutdown, from the end of the last trial to that of the study", f"{study.ended - ends[-1]:.1f} s")
    yield Figure("16 trials, from the start of Ray to the end of the last one", f"{ends[15] - study.started:.1f} s")


def plain_tune(trials: int) -> tuple[list[float], list[float]]:
    """(ends, seconds inside the epoch) of the same training as a function trainable, with Tune's defaults."""
    import ray
    from ray import tune

    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"

    def train(config: dict[str, float]) -> None:
        import torch

        from trainables.image_classification.task import Config, DataOptions, Loop, load_data

        torch.set_num_threads(1)
        data, _, _ = load_data("digits", Path("data"), DataOptions(), [8], seed=0)
        options = {key: value for key, value in TINY_VIT.items() if key not in ("model", "flip", "shift")}
        training = Config(lr=config["lr"], epochs=1, flip=False, shift=0.0)
        loop = Loop(training, str(TINY_VIT["model"]), options, "none", data, torch.device("cpu"))
        row = cast("dict[str, float]", loop.run_epoch())
        tune.report({"seconds": row["train_seconds"] + row["eval_seconds"], "ended": time.time()})

    ray.init(
        address="local", num_cpus=AT_ONCE, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    try:
        with TemporaryDirectory(prefix="benchmark-") as folder:
            results = tune.Tuner(
                tune.with_resources(train, {"cpu": 1}),
                param_space={"lr": tune.loguniform(1e-4, 1e-2)},
                tune_config=tune.TuneConfig(num_samples=trials),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            ).fit()
            rows = [results[i].metrics or {} for i in range(trials)]
    finally:
        ray.shutdown()
    rows.sort(key=lambda row: row["ended"])
    return [row["ended"] for row in rows], [row["seconds"] for row in rows]


if __name__ == "__main__":
    show(run())
