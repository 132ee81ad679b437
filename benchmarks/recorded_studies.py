"""Small studies that really ran, kept as data: what the validation accuracy of each trial was after each epoch.

python -m benchmarks.recorded_studies       writes recorded_studies.csv beside it again: about 20 minutes on 2 cores

Three models on digits; the studies differ in seed, number of training images, epochs, range of the learning rate, and
whether trials are stopped early. One row per trial, in the order in which they started.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_suffix(".csv")
STUDIES, TRIALS = 10, 16


class Recorded(NamedTuple):
    """A trial of a recorded study; values: its validation accuracy after each epoch that it trained."""

    study: str
    cell: str
    trial: str
    state: str
    epochs: int
    values: tuple[float, ...]


def space(seed: int) -> dict[str, object]:
    """The study of this seed."""
    tiny = {"image_size": 8, "patch_size": 2, "flip": False, "shift": 0.0}
    return {
        "data": {"name": "digits", "validation": 0.2},
        "objectives": ["val_accuracy"],
        "phases": ["search"],
        "seed": seed,
        "trials": TRIALS,
        "early_stopping": {"grace_epochs": 2, "reduction_factor": 2} if seed % 3 == 2 else None,
        "all_models": {
            "epochs": (6, 9, 12)[seed % 3],
            "train_size": (200, 500, 1000)[seed // 3 % 3],
            "search": {
                "lr": {"low": 3e-4 if seed % 2 else 1e-4, "high": 1e-2 if seed % 2 else 3e-2, "log": True},
                "weight_decay": {"low": 5e-3, "high": 0.5, "log": True},
            },
        },
        "models": {
            "scratch_vit": tiny | {"width": 32, "depth": 2, "heads": 2, "feed_forward": 64, "norm": "pre"},
            "resnet18": {"image_size": 8, "width": 8, "flip": False, "shift": 0.0},
            "vit": tiny | {"architecture": "vit_tiny_patch16_224", "embed_dim": 48, "depth": 2, "num_heads": 3},
        },
    }


def write() -> None:
    """Run the studies, one after the other."""
    from benchmarks.small_study import run_small_study
    from study.ledger import number

    with FILE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Recorded._fields)
        for seed in range(STUDIES):
            study = run_small_study(space(seed))
            for trial in sorted(study.trials, key=lambda t: t.started.timestamp() if t.started else 0.0):
                values = " ".join(f"{number(row, 'val_accuracy'):.4f}" for row in trial.rows)
                writer.writerow([f"digits-{seed}", trial.cell.name, trial.name, trial.state, trial.epochs, values])
            file.flush()


def read(path: Path = FILE) -> Iterator[Recorded]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = tuple(map(float, row["values"].split()))
            yield Recorded(row["study"], row["cell"], row["trial"], row["state"], int(row["epochs"]), values)


if __name__ == "__main__":
    write()
