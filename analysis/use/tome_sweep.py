"""One trained checkpoint at many merging ratios: how fast and how accurate it is, without training again."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from analysis.read.candidates import eager
from analysis.use.merging_model import MergingModel
from record.contents import Sample

RATIOS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MAX_ROUNDS, SECONDS, MIN_ROUNDS = 20, 60.0, 3  # over all ratios: at most, for about, at least
LONGEST_CALL = 1.0  # seconds; a batch that takes longer is halved, to bound the time of a sweep on a CPU
UNSTEADY = 0.1  # interquartile range over the median


def sweep(
    model: MergingModel, samples: dict[str, Sample], ratios: tuple[float, ...] = RATIOS, seconds: float = SECONDS
) -> pd.DataFrame:
    """One row per ratio: patch tokens left, images/s with quartiles, speed relative to the lowest ratio, accuracies.

    Ratios take turns, so that a disturbance affects all of them alike; `spread` is the interquartile range over the
    median. Timings run from uint8 images on the device to logits, as in the study's profile; nothing else should run
    meanwhile.
    """
    ratios = tuple(sorted({*ratios, model.trained_at}))
    model.merge(ratios[0])
    images = _timed_images(model, next(iter(samples.values())).images)
    batch = len(images)
    times = _times(model, images, ratios, seconds)  # (rounds, ratios)
    q1, median, q3 = np.quantile(times, [0.25, 0.5, 0.75], axis=0)
    rows = []
    for i, ratio in enumerate(ratios):
        left = model.merge(ratio)
        rows.append(
            {
                "trial": model.trial,
                "tome_ratio": ratio,
                "tokens_left": left,
                "inference_images_per_second": batch / median[i],
                "inference_images_per_second_q1": batch / q3[i],
                "inference_images_per_second_q3": batch / q1[i],
                "spread": (q3[i] - q1[i]) / median[i],
                "times_as_fast": median[0] / median[i],
            }
            | {f"{name}_accuracy": accuracy(model, sample) for name, sample in samples.items()}
            | {f"{name}_images": len(sample.labels) for name, sample in samples.items()}
            | {
                "trained_at": model.trained_at,
                "batch": batch,
                "dtype": "bfloat16" if model.bfloat16 else "float32",
                "device": model.device.type,
                "threads": torch.get_num_threads(),
            }
        )
    return pd.DataFrame(rows)


def accuracy(model: MergingModel, sample: Sample) -> float:
    return float((model.classify(sample.images) == sample.labels).mean())


def _timed_images(model: MergingModel, images: np.ndarray) -> torch.Tensor:
    """A batch on the device, filled by repeating `images` and halved while a call takes longer than LONGEST_CALL."""
    batch = torch.from_numpy(np.resize(images, (_batch(model), *images.shape[1:]))).to(model.device)
    while len(batch) > 1 and _seconds(model, batch) > LONGEST_CALL:
        batch = batch[: len(batch) // 2]
    return batch


def _batch(model: MergingModel) -> int:
    """The batch size at which the study timed this model's inference; 64 where it did not."""
    profile = eager(model.study.profile)
    own = profile[profile["model"] == model.study.trials.set_index("trial").loc[model.trial, "model"]]
    known = own["inference_batch"].fillna(own["batch"]).dropna()
    return int(known.median()) if len(known) else 64


def _times(model: MergingModel, images: torch.Tensor, ratios: tuple[float, ...], seconds: float) -> np.ndarray:
    """Seconds of each call, (rounds, ratios); the first round warms up and does not count."""
    rounds: list[list[float]] = []
    start = time.perf_counter()
    while len(rounds) <= MIN_ROUNDS or (len(rounds) <= MAX_ROUNDS and time.perf_counter() - start < seconds):
        rounds.append([])
        for ratio in ratios:
            model.merge(ratio)
            rounds[-1].append(_seconds(model, images))
    return np.array(rounds[1:])


def _seconds(model: MergingModel, images: torch.Tensor) -> float:
    start = time.perf_counter()
    model.logits(images)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter() - start


def accuracies(table: pd.DataFrame) -> list[str]:
    """The columns of a sweep that hold accuracies, one per split."""
    return [name for name in table.columns.astype(str) if name.endswith("_accuracy")]


def write(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write tome_sweep.csv and tome_sweep.png to `folder`, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "tome_sweep.csv", folder / "tome_sweep.png"]
    table.to_csv(paths[0], index=False)
    _draw(table, paths[1])
    return paths


def _draw(table: pd.DataFrame, path: Path) -> None:
    """Accuracy over speed, one line per split, every point labelled with its ratio."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    speeds = table["inference_images_per_second"]
    splits = [name.removesuffix("_accuracy") for name in accuracies(table)]
    for split, colour, marker in zip(splits, ("#0072B2", "#D55E00"), ("o", "s"), strict=False):
        count = table[f"{split}_images"].iloc[0]
        axes.plot(
            speeds, table[f"{split}_accuracy"], marker=marker, color=colour, label=f"{split} split ({count:,} images)"
        )
    top = table[accuracies(table)].max(axis=1)
    for speed, height, ratio in zip(speeds, top, table["tome_ratio"], strict=True):
        axes.annotate(f"{ratio:g}", (speed, height), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9)
    first = table.iloc[0]
    own = table[table["tome_ratio"] == first["trained_at"]]
    axes.axvline(float(own["inference_images_per_second"].iloc[0]), color="0.6", linestyle=":", label="trained at")
    axes.set_xlabel(
        f"inference speed (images/s, {first['dtype']}, {first['device']}, {first['threads']} threads, "
        f"batch {first['batch']}; numbers: tome_ratio)"
    )
    axes.set_ylabel("accuracy (share of images right)")
    axes.set_title(f"One checkpoint at many merging ratios: {first['trial']}", fontweight="bold")
    axes.margins(y=0.12)
    axes.grid(True, color="0.9")
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    figure.savefig(path)
