"""The epoch loop: exact resume, repeatability, and the parts that a paper or a loop defines."""

from __future__ import annotations

import copy
import math
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inputs.preprocessing import prepare
from trainables.data import DataError
from trainables.data.images import Images
from trainables.image_classification.augmentation import augment
from trainables.image_classification.loop import learning_rate
from trainables.image_classification.task import Config, Data, DataOptions, Loop, check_train_size, load_data, profile
from trainables.timing import measure
from trainables.training import Diverged

CPU = torch.device("cpu")
SCRATCH = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 1, "heads": 2, "feed_forward": 32}
RESNET = {"image_size": 16}


@pytest.fixture(scope="module")
def data() -> Data:
    """120 training and 40 validation images of noise whose brightness tells the class."""
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


def weights(some: Loop) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in some.model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("model", ["scratch_vit", "resnet18"])
def test_stopping_after_an_epoch_and_going_on_gives_the_same_weights_bit_for_bit(
    data: Data, model: str, tmp_path: Path
) -> None:
    straight = loop(data, model)
    rows = [straight.run_epoch() for _ in range(4)]
    for stop in (1, 3):
        first = loop(data, model)
        for _ in range(stop):
            first.run_epoch()
        torch.save(first.state_dict(), tmp_path / "loop.pt")
        torch.rand(1000)  # what else a process draws must not matter
        second = loop(data, model, lr=3e-3)
        second.load_state_dict(torch.load(tmp_path / "loop.pt", weights_only=True))
        again = [second.run_epoch() for _ in range(4 - stop)]
        assert same(weights(straight), weights(second))
        assert [r["val_loss"] for r in again] == [r["val_loss"] for r in rows[stop:]]


def test_the_seed_decides_everything_and_another_seed_something_else(data: Data) -> None:
    runs = {seed: loop(data, seed=seed) for seed in (0, 1)}
    repeated = loop(data, seed=0)
    for some in (*runs.values(), repeated):
        some.run_epoch()
    assert same(weights(runs[0]), weights(repeated))
    assert not same(weights(runs[0]), weights(runs[1]))


def test_it_learns_what_can_be_learnt(data: Data) -> None:
    some = loop(data, epochs=8)
    rows = [some.run_epoch() for _ in range(8)]
    assert rows[-1]["val_accuracy"] >= 0.9
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    for key in ("val_loss", "train_loss", "train_seconds", "eval_seconds", "train_images_per_second", "peak_memory_mb"):
        assert all(row[key] > 0 for row in rows)


def test_accumulation_computes_the_same_step(data: Data) -> None:
    """Up to rounding; dropout is off here because each micro-batch draws its own."""
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


def test_out_of_memory_halves_the_micro_batch_and_goes_on(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    some = loop(data)
    real = some.logits

    def limited(images: torch.Tensor) -> torch.Tensor:
        if some.model.training and len(images) > 10:
            raise torch.OutOfMemoryError("no room")
        return real(images)

    monkeypatch.setattr(some, "logits", limited)
    row = some.run_epoch()
    assert row["accumulation"] == 4  # 30 images a batch: 15 are still too many, 8 fit
    assert row["note"] == "out of memory: batches of 32 are computed in 4 parts"


def test_out_of_memory_in_the_middle_of_a_training_changes_nothing_but_the_parts(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that failed is computed again whole: gradients of the parts that had fitted are not counted twice."""
    fields = {"epochs": 1, "batch_size": 40, "shift": 0.0, "flip": False}
    options = SCRATCH | {"dropout": 0.0}
    roomy, tight = (Loop(Config(**fields), "scratch_vit", options, "none", data, CPU) for _ in range(2))
    # The first step fits; the second one neither whole nor, after its first half, in halves.
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
    some = loop(data)
    whole = some.evaluate(data.validation)
    real = some.logits

    def limited(images: torch.Tensor) -> torch.Tensor:
        if len(images) > 10:
            raise torch.OutOfMemoryError("no room")
        return real(images)

    monkeypatch.setattr(some, "logits", limited)
    accuracy, loss, predicted = some.evaluate(data.validation)
    assert accuracy == whole[0] and math.isclose(loss, whole[1], rel_tol=1e-5) and (predicted == whole[2]).all()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")
def test_a_compiled_model_trains_the_same_and_its_state_is_a_plain_one(data: Data) -> None:
    fields = {"epochs": 2, "batch_size": 40, "shift": 0.0, "flip": False}
    options = SCRATCH | {"dropout": 0.0}
    plain, compiled = (
        Loop(Config(compile=kind, **fields), "scratch_vit", options, "none", data, CPU) for kind in (False, True)
    )
    for _ in range(2):
        a, b = plain.run_epoch(), compiled.run_epoch()
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-4)
    assert list(weights(compiled)) == list(weights(plain))
    again = Loop(Config(**fields), "scratch_vit", options, "none", data, CPU)
    again.load_state_dict(compiled.state_dict())
    assert again.evaluate(data.validation)[1] == pytest.approx(b["val_loss"], rel=1e-4)


def test_a_diverged_loss_ends_the_epoch_with_the_reason(data: Data) -> None:
    some = loop(data, lr=1e30, gradient_clip=0, warmup_epochs=0)
    with pytest.raises(Diverged, match=r"loss of epoch \d is (nan|inf)"):
        for _ in range(4):
            some.run_epoch()


def test_train_size_takes_a_balanced_part(data: Data) -> None:
    some = loop(data, train_size=20)
    labels = data.train.labels[some.indices]
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


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.booleans(), st.floats(0, 0.9), st.integers(0, 2**31))
def test_augmentation_is_a_flip_and_a_shift_of_each_image(
    batch: int, height: int, width: int, flip: bool, shift: float, seed: int
) -> None:
    """Every result is one of the flipped and shifted images, written as loops over pixels."""
    images = torch.arange(batch * height * width * 3).reshape(batch, height, width, 3)
    result = augment(images, torch.Generator().manual_seed(seed), flip, shift)
    assert result.shape == images.shape
    down, right = round(shift * height), round(shift * width)
    for image, got in zip(images, result, strict=True):
        possible = []
        for dy in range(-down, down + 1):
            for dx in range(-right, right + 1):
                shifted = torch.stack(
                    [
                        torch.stack(
                            [
                                image[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
                                for x in range(width)
                            ]
                        )
                        for y in range(height)
                    ]
                )
                possible += [shifted, shifted.flip(1)] if flip else [shifted]
        assert any(torch.equal(got, candidate) for candidate in possible)


def test_no_augmentation_returns_the_images_as_they_are() -> None:
    images = torch.randint(0, 255, (3, 4, 4, 3), dtype=torch.uint8)
    assert torch.equal(augment(images, torch.Generator(), flip=False, shift=0.0), images)


def test_preparing_normalises_each_channel_and_resizes_as_torch_does() -> None:
    images = torch.randint(0, 256, (2, 6, 6, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.25, 1.0])
    same_size = prepare(images, 6, mean, std)
    expected = (images.permute(0, 3, 1, 2) / 255 - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(same_size, expected, atol=1e-5)
    larger = prepare(images, 12, mean, std)
    assert larger.shape == (2, 3, 12, 12)
    assert torch.allclose(larger, torch.nn.functional.interpolate(expected, (12, 12), mode="bilinear"), atol=1e-5)


def test_the_search_never_holds_the_test_split() -> None:
    searched, test, source = load_data("digits", Path("data"), DataOptions(), [8, 16], seed=0)
    assert source == "digits (scikit-learn)"
    seen = {image.tobytes() for image in np.concatenate([searched.train.images, searched.validation.images])}
    assert len(searched.train.labels) + len(searched.validation.labels) == 1438 and len(test.labels) == 359
    assert sum(image.tobytes() in seen for image in test.images) <= 2  # two scans of the whole set are twins
    with pytest.raises(DataError, match="leave none"):
        load_data("digits", Path("data"), DataOptions(1438), [16], seed=0)


@pytest.mark.parametrize(
    ("field", "value"), [("lr", 0), ("train_size", 0), ("epochs", 0), ("label_smoothing", 1), ("accumulation", 65)]
)
def test_a_setting_out_of_its_bounds_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be .*{value}"):
        Config(**{field: value})


def test_a_timing_is_the_median_of_repeats_with_its_quartiles() -> None:
    calls = []
    timing = measure(lambda: calls.append(None), CPU, repeats=20, seconds=0.5)
    assert timing.repeats == 20 and len(calls) > 20
    assert timing.q1 <= timing.median <= timing.q3


def test_a_profile_knows_parameters_and_flops() -> None:
    """One linear map of p patches of 3*4*4 values to width 16 and so on, counted by hand for the projection alone."""
    options = SCRATCH | {"depth": 1}
    row = profile(Config(batch_size=8), "scratch_vit", options, CPU, {"image_shape": (8, 8, 3), "classes": 4})
    model = Loop(Config(), "scratch_vit", options, "none", _tiny(), CPU).model
    assert row["parameters"] == sum(p.numel() for p in model.parameters())
    projection = 2 * 16 * 48 * 16  # 16 patches of 48 values, each to 16
    assert projection / 1e9 < row["gflops_per_image"] < 100 * projection / 1e9
    assert row["inference_images_per_second_q1"] <= row["inference_images_per_second"]
    assert row["train_images_per_second"] == pytest.approx(8 / row["train_step_seconds"])


def _tiny() -> Data:
    some = Images(np.zeros((8, 8, 8, 3), np.uint8), np.arange(8, dtype=np.int64) % 4)
    return Data(("a", "b", "c", "d"), some, copy.deepcopy(some))


def test_models_loops_and_analysis_never_bring_in_ray() -> None:
    code = (
        "import sys, models, trainables.image_classification.task, analysis, analysis.cli.main, analysis.tell.pictures.png\n"
        "for name in models.available(): models.config_class(name)\n"
        "assert 'ray' not in sys.modules, 'ray was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


KEPT_MEMORY = """
import resource
import torch
from trainables import device as hardware

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

cpu = torch.device("cpu")
hardware.start_afresh(cpu)
for step in range(40):
    if step == 20:  # until then the heap finds its size
        before = page_faults()
    torch.ones(20_000_000)
faults = page_faults() - before
full = hardware.peak_memory_mb(cpu)
hardware.start_afresh(cpu)
print(faults, full - hardware.peak_memory_mb(cpu))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told to keep memory")
def test_a_training_keeps_the_memory_that_it_frees_and_gives_back_what_the_one_before_left() -> None:
    root = Path(__file__).parents[2]  # a process of its own: what other tests left in the heap would count
    result = subprocess.run([sys.executable, "-c", KEPT_MEMORY], cwd=root, capture_output=True, text=True, check=True)
    faults, given_back_mb = map(float, result.stdout.split())
    assert faults < 20_000  # 390,624 pages if each of the twenty were new
    assert given_back_mb > 70  # of 80 or more
