"""The epoch loop of image classification: exact resume, repeatability, memory, schedule, data and profile."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.layers.precision import has_bfloat16
from record.contents import read_predictions
from record.folder import StudyFolder
from trainables import device as hardware
from trainables.data import DataError
from trainables.data.images import Images
from trainables.image_classification.loop import balanced_accuracy, learning_rate, number_of_batches
from trainables.image_classification.profile import measure
from trainables.image_classification.task import (
    Config,
    Data,
    DataOptions,
    Loop,
    check_train_size,
    describe,
    load_data,
    profile,
)
from trainables.pace import Yardstick
from trainables.training import Diverged

CPU = torch.device("cpu")
SCRATCH = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 1, "heads": 2, "feed_forward": 32}
RESNET = {"image_size": 16}


@pytest.fixture(scope="module")
def data() -> Data:
    """120 training and 40 validation images of noise; brightness depends on the class."""
    rng = np.random.default_rng(0)

    def images(count: int) -> Images:
        labels = np.arange(count, dtype=np.int64) % 4
        pixels = rng.integers(0, 64, (count, 12, 12, 3)) + 60 * labels[:, None, None, None]
        return Images(pixels.astype(np.uint8), labels)

    return Data(("a", "b", "c", "d"), images(120), images(40))


def loop(data: Data, model: str = "scratch_vit", **config: object) -> Loop:
    options = SCRATCH if model == "scratch_vit" else RESNET
    fields = {"lr": 3e-3, "epochs": 4, "batch_size": 32} | config
    return Loop(Config(**fields), model, options, "none", data, CPU)


def weights(training: Loop) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in training.model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("model", ["scratch_vit", "resnet18"])
def test_a_resumed_training_has_the_weights_of_an_uninterrupted_one_bit_for_bit(
    data: Data, model: str, tmp_path: Path
) -> None:
    uninterrupted = loop(data, model)
    rows = [uninterrupted.run_epoch() for _ in range(4)]
    for stop in (1, 3):
        first = loop(data, model)
        for _ in range(stop):
            first.run_epoch()
        torch.save(first.state_dict(), tmp_path / "loop.pt")
        torch.rand(1000)  # other random numbers of the process must not matter
        second = loop(data, model, lr=3e-3)
        second.load_state_dict(torch.load(tmp_path / "loop.pt", weights_only=True))
        again = [second.run_epoch() for _ in range(4 - stop)]
        assert same(weights(uninterrupted), weights(second))
        assert [r["val_loss"] for r in again] == [r["val_loss"] for r in rows[stop:]]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(data: Data) -> None:
    runs = {seed: loop(data, seed=seed) for seed in (0, 1)}
    repeated = loop(data, seed=0)
    for training in (*runs.values(), repeated):
        training.run_epoch()
    assert same(weights(runs[0]), weights(repeated))
    assert not same(weights(runs[0]), weights(runs[1]))


def test_it_learns_what_can_be_learnt(data: Data) -> None:
    training = loop(data, epochs=8)
    rows = [training.run_epoch() for _ in range(8)]
    assert rows[-1]["val_accuracy"] >= 0.9
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    for key in ("val_loss", "train_loss", "train_seconds", "eval_seconds", "train_images_per_second", "peak_memory_mb"):
        assert all(row[key] > 0 for row in rows)


def test_accumulation_computes_the_same_step(data: Data) -> None:
    """Up to rounding; dropout is off because each micro-batch draws its own."""
    whole, parts = (
        Loop(
            Config(epochs=1, batch_size=40, accumulation=n, shift=0.0, bfloat16=False),
            "scratch_vit",
            SCRATCH | {"dropout": 0.0},
            "none",
            data,
            CPU,
        )
        for n in (1, 5)
    )
    a, b = whole.run_epoch(), parts.run_epoch()
    assert math.isclose(a["train_loss"], b["train_loss"], rel_tol=1e-5)
    assert all(
        torch.allclose(x, y, atol=2e-4) for x, y in zip(weights(whole).values(), weights(parts).values(), strict=True)
    )


def test_out_of_memory_halves_the_micro_batch_and_continues(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    training = loop(data)
    real = training.logits

    def limited(images: torch.Tensor) -> torch.Tensor:
        if training.model.training and len(images) > 10:
            raise torch.OutOfMemoryError("no room")
        return real(images)

    monkeypatch.setattr(training, "logits", limited)
    row = training.run_epoch()
    assert row["accumulation"] == 4  # 30 images per batch: 15 are still too many, 8 fit
    assert row["note"] == "out of memory: batches of 32 are computed in 4 parts"


def test_out_of_memory_during_a_training_changes_only_the_number_of_parts(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed step is repeated as a whole: gradients of the parts that did fit are not counted twice."""
    fields = {"epochs": 1, "batch_size": 40, "shift": 0.0, "flip": False}
    options = SCRATCH | {"dropout": 0.0}
    roomy, tight = (Loop(Config(**fields), "scratch_vit", options, "none", data, CPU) for _ in range(2))
    # The first step fits. The second one fails as a whole, then in its second half.
    real, fits = tight.logits, iter([True, False, True, False])

    def limited(images: torch.Tensor) -> torch.Tensor:
        if tight.model.training and not next(fits, True):
            raise torch.OutOfMemoryError("no room")
        return real(images)

    monkeypatch.setattr(tight, "logits", limited)
    a, b = roomy.run_epoch(), tight.run_epoch()
    assert b["accumulation"] == 4 and "note" not in a
    assert math.isclose(a["train_loss"], b["train_loss"], rel_tol=1e-5)
    assert all(
        torch.allclose(x, y, atol=2e-4) for x, y in zip(weights(roomy).values(), weights(tight).values(), strict=True)
    )


def test_out_of_memory_in_the_evaluation_halves_its_batch(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    training = loop(data)
    whole = training.evaluate(data.validation)
    real = training.logits

    def limited(images: torch.Tensor) -> torch.Tensor:
        if len(images) > 10:
            raise torch.OutOfMemoryError("no room")
        return real(images)

    monkeypatch.setattr(training, "logits", limited)
    accuracy, loss, predictions, _ = training.evaluate(data.validation)
    assert accuracy == whole[0] and math.isclose(loss, whole[1], rel_tol=1e-5) and (predictions == whole[2]).all()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")
def test_a_compiled_model_trains_alike_and_its_state_fits_a_plain_one(data: Data) -> None:
    fields = {"epochs": 2, "batch_size": 40, "shift": 0.0, "flip": False}
    options = SCRATCH | {"dropout": 0.0}
    plain, compiled = (
        Loop(Config(compile=compiled, **fields), "scratch_vit", options, "none", data, CPU)
        for compiled in (False, True)
    )
    for _ in range(2):
        a, b = plain.run_epoch(), compiled.run_epoch()
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-4)
    assert list(weights(compiled)) == list(weights(plain))
    again = Loop(Config(**fields), "scratch_vit", options, "none", data, CPU)
    again.load_state_dict(compiled.state_dict())
    assert again.evaluate(data.validation)[1] == pytest.approx(b["val_loss"], rel=1e-4)


class Conversions(TorchDispatchMode):
    """Counts the conversions of the given tensors to other number formats."""

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.tensors, self.count = list(tensors), 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten._to_copy.default:
            self.count += any(args[0] is tensor for tensor in self.tensors)
        return function(*args, **(kwargs or {}))


@pytest.mark.skipif(not has_bfloat16(CPU), reason="this CPU does not compute bfloat16 in hardware")
def test_inference_converts_the_weights_once(data: Data) -> None:
    training = loop(data)
    pixels = torch.from_numpy(np.array(data.validation.images[:2]))
    with training.inference(), Conversions(training.model.parameters()) as conversions:
        training.logits(pixels)
        first = conversions.count
        training.logits(pixels)
    assert first and conversions.count == first


def test_a_diverged_loss_ends_the_epoch_with_the_reason(data: Data) -> None:
    training = loop(data, lr=1e30, gradient_clip=0, warmup_epochs=0)
    with pytest.raises(Diverged, match=r"loss of epoch \d is (nan|inf)"):
        for _ in range(4):
            training.run_epoch()


def test_train_size_selects_a_balanced_subset(data: Data) -> None:
    labels = data.train.labels[loop(data, train_size=20).indices]
    assert len(labels) == 20 and np.bincount(labels).tolist() == [5, 5, 5, 5]
    with pytest.raises(DataError, match="121"):
        check_train_size(data, 121)


def test_the_learning_rate_rises_linearly_and_falls_as_half_a_cosine() -> None:
    config = Config(lr=1.0, epochs=10, warmup_epochs=1.0)
    rates = [learning_rate(step, config, steps_per_epoch=4) for step in range(40)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[4 + 18] == pytest.approx(0.5)  # half of the 36 steps of the cosine
    assert rates[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 35 / 36)))
    assert learning_rate(0, Config(lr=1.0, epochs=1, warmup_epochs=5), steps_per_epoch=1) == 1.0


def test_the_data_of_a_search_never_hold_the_test_split() -> None:
    search, test, source = load_data("digits", Path("data"), DataOptions(), [8, 16], seed=0)
    assert source == "digits (scikit-learn)"
    seen = {image.tobytes() for image in np.concatenate([search.train.images, search.validation.images])}
    assert len(search.train.labels) + len(search.validation.labels) == 1438 and len(test.labels) == 359
    assert not any(image.tobytes() in seen for image in test.images)
    with pytest.raises(DataError, match="leave none"):
        load_data("digits", Path("data"), DataOptions(1438), [16], seed=0)


def test_balanced_accuracy_is_the_mean_over_the_classes() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 3])
    # Class 0: three of four, class 1: one of two, class 3: one of one; class 2 has no images.
    assert balanced_accuracy(np.array([0, 0, 0, 1, 1, 2, 3]), labels) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert balanced_accuracy(np.zeros(7, dtype=int), labels) == pytest.approx(1 / 3)  # whoever always names class 0
    assert balanced_accuracy(labels, labels) == 1


def test_the_test_split_is_described_by_both_accuracies(data: Data, tmp_path: Path) -> None:
    lopsided = Images(data.validation.images[:5], np.array([0, 1, 2, 3, 0], dtype=np.int64))
    training = loop(data)
    row = training.test(lopsided, StudyFolder(tmp_path), "t")
    predicted, probabilities = training.evaluate(lopsided)[2:]
    kept = read_predictions(StudyFolder(tmp_path).confidences("t"))
    assert kept is not None and kept == pytest.approx(probabilities, abs=1e-3)
    assert (probabilities > 1 / len(data.classes)).all() and (probabilities <= 1).all()
    assert row["test_balanced_accuracy"] == balanced_accuracy(predicted, lopsided.labels)
    assert row["test_accuracy"] == (predicted == lopsided.labels).mean()


def test_the_data_are_described_with_their_classes_and_what_naming_the_largest_reaches(data: Data) -> None:
    lopsided = Images(data.validation.images[:5], np.array([0, 0, 0, 1, 3], dtype=np.int64))
    facts = describe(data, lopsided)
    assert facts["images_per_class"] == {"train": [30, 30], "validation": [10, 10], "test": [0, 3]}
    assert facts["baseline"] == {"validation": 0.25, "test": 0.6}
    assert json.loads(json.dumps(facts))["baseline"] == facts["baseline"]


@pytest.mark.parametrize(
    ("field", "value"), [("lr", 0), ("train_size", 0), ("epochs", 0), ("label_smoothing", 1), ("accumulation", 65)]
)
def test_the_error_names_a_setting_out_of_bounds(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be .*{value}"):
        Config(**{field: value})


def test_a_profile_counts_parameters_and_flops() -> None:
    """Only the projection of the patches is counted by hand: a linear map of 3*4*4 values to width 16 per patch."""
    options = SCRATCH | {"depth": 1}
    row = profile(
        Config(batch_size=8), "scratch_vit", options, CPU, {"height": 8, "width": 8, "classes": 4}, 1, Yardstick(CPU)
    )
    model = Loop(Config(), "scratch_vit", options, "none", _tiny(), CPU).model
    assert row["parameters"] == sum(p.numel() for p in model.parameters())
    projection = 2 * 16 * 48 * 16  # 16 patches of 48 values, each to 16
    assert projection / 1e9 < row["gflops_per_image"] < 100 * projection / 1e9
    assert row["inference_images_per_second_q1"] <= row["inference_images_per_second"]
    assert row["train_images_per_second"] == pytest.approx(8 / row["train_step_seconds"])


def test_training_is_timed_with_the_threads_of_a_trial_and_inference_with_all() -> None:
    seen: dict[bool, set[int]] = {True: set(), False: set()}

    class Watched(Loop):
        def logits(self, images: torch.Tensor) -> torch.Tensor:
            seen[self.model.training].add(torch.get_num_threads())
            return super().logits(images)

    with hardware.threads(1):
        watched = Watched(Config(batch_size=8), "scratch_vit", SCRATCH, "none", _tiny(), CPU)
        row = measure(watched, train_threads=2, yardstick=Yardstick(CPU))
        assert seen == {True: {2}, False: {1}}
        assert (row["threads"], row["train_threads"], torch.get_num_threads()) == (1, 2, 1)


def _tiny() -> Data:
    images = Images(np.zeros((8, 8, 8, 3), np.uint8), np.arange(8, dtype=np.int64) % 4)
    return Data(("a", "b", "c", "d"), images, copy.deepcopy(images))


@pytest.mark.parametrize("batch_size", [2, 3, 4, 32])
def test_no_batch_holds_a_single_image(batch_size: int) -> None:
    """Batch normalisation learns nothing from one, and fails where the last layer sees one pixel."""
    for size in range(2, 100):
        batches = np.array_split(np.arange(size), number_of_batches(size, batch_size))
        assert min(map(len, batches)) > 1 and max(map(len, batches)) <= max(batch_size, 3)
    assert number_of_batches(1, batch_size) == 1 and number_of_batches(5, 1) == 5


@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 4), (3, 2), (7, 3)])
def test_no_part_of_a_batch_holds_a_single_image_where_batches_are_normalised(
    batch_size: int, accumulation: int
) -> None:
    """The last layers of this model see one pixel per image."""
    config = Config(epochs=1, batch_size=batch_size, accumulation=accumulation)
    loop = Loop(config, "resnet18", {"image_size": 32}, "none", _tiny(), torch.device("cpu"))
    assert math.isfinite(loop.run_epoch()["train_loss"])
