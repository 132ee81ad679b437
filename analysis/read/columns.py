"""The columns that a study folder promises, their types, and reading a CSV file into them.

A column that is missing is added empty, one that is unknown is kept as pandas reads it: a folder written by an older or
a newer version still loads.
"""

from pathlib import Path

import pandas as pd

Columns = dict[str, str]

TRIALS: Columns = {
    "trial": "str",
    "model": "str",
    "phase": "str",
    "state": "str",
    "seed": "Int64",
    "data": "str",
    "weights": "str",
    "cell": "str",
    "candidate": "str",
    "lr": "float64",
    "train_size": "Int64",
    "tome_ratio": "float64",
    "epochs": "Int64",
    "epoch_budget": "Int64",
    "val_accuracy": "float64",
    "test_accuracy": "float64",
    "val_bleu": "float64",
    "test_bleu": "float64",
    "test_images": "Int64",
    "val_loss": "float64",
    "train_seconds": "float64",
    "eval_seconds": "float64",
    "contended_train_seconds_per_epoch": "float64",
    "contended_eval_seconds_per_epoch": "float64",
    "inference_images_per_second": "float64",
    "train_images_per_second": "float64",
    "parameters": "Int64",
    "gflops_per_image": "float64",
    "peak_memory_mb": "float64",
    "pareto": "boolean",
    "error": "str",
}

EPOCHS: Columns = {"trial": "str", "model": "str", "phase": "str", "epoch": "Int64"}

PROFILE: Columns = {
    "model": "str",
    "tome_ratio": "float64",
    "image_size": "Int64",
    "batch": "Int64",
    "dtype": "str",
    "threads": "Int64",
    "device": "str",
    "hardware": "str",
    "inference_images_per_second": "float64",
    "inference_images_per_second_q1": "float64",
    "inference_images_per_second_q3": "float64",
    "interpolated_images_per_second": "float64",
    "latency_ms": "float64",
    "train_step_seconds": "float64",
    "parameters": "Int64",
    "gflops_per_image": "float64",
    "peak_memory_mb": "float64",
    "busy": "str",
    "torch": "str",
}

_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def read_csv(path: Path, columns: Columns) -> tuple[pd.DataFrame, list[str]]:
    """Read `path` with the types of `columns`; also return a note for each column whose values do not fit.

    A file that is missing or empty gives no rows. Raises `ValueError` (also as pandas' `ParserError`) where the file is
    no table at all.
    """
    as_text = {name: "str" for name, kind in columns.items() if kind in ("str", "boolean")}
    try:
        frame = pd.read_csv(path, dtype=as_text)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        frame = pd.DataFrame()
    notes = []
    for name, kind in columns.items():
        given = frame[name] if name in frame else pd.Series(pd.NA, index=frame.index, dtype="str")
        frame[name] = typed = _convert(given, kind)
        lost = int((given.notna() & typed.isna()).sum())
        if lost:
            notes.append(f"{path.name}: {lost} value(s) of {name} are no {kind} and were left out")
    return frame, notes


def _convert(values: pd.Series, kind: str) -> pd.Series:
    if kind == "str":
        return values.astype("str")
    if kind == "boolean":
        return values.str.lower().map(_TRUTH).astype("boolean")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    if kind == "Int64":
        return numbers.where(numbers % 1 == 0).astype("Int64")
    return numbers
