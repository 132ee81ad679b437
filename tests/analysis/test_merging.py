"""`merges` and `tome-sweep` on studies with tiny checkpoints: what is drawn, what is measured, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from untrained_study import CLASSES, OPTIONS, noise, write_untrained_study

import models
from analysis.use.merges import borders, mean_colours
from analysis.use.merging_model import merging_model
from analysis.use.samples import load_samples
from record import contents
from record.folder import StudyFolder
from trainables.image_classification.data import Data, keep, sample


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_untrained_study(tmp_path / "study")


def test_a_region_has_the_mean_colour_of_its_pixels() -> None:
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, 0], image[:, 1], image[:, 2], image[:, 3] = 10, 20, 30, 60
    regions = np.array([[0, 1, 0, 1]])  # one row of patches, each of 2 x 1 pixels; regions need not hang together
    drawn = mean_colours(image, regions)
    assert drawn[..., 0].tolist() == [[20, 40, 20, 40]] * 2


def test_borders_run_between_regions_and_around_the_image() -> None:
    #  0 0 1
    #  2 0 1
    lines = borders(np.array([[0, 0, 1], [2, 0, 1]]))
    inner = {((2, 0), (2, 1)), ((1, 1), (1, 2)), ((2, 1), (2, 2)), ((0, 1), (1, 1))}
    assert set(lines) >= inner and len(lines) == len(inner) + 4


@pytest.mark.parametrize("trial", ["vit-000", "small-000"])
def test_a_model_merges_as_much_as_it_is_told(folder: Path, trial: str) -> None:
    model = merging_model(folder, trial)
    images = load_samples(folder)["test"].images
    for ratio, left in ((0.0, 64), (0.5, 32), (0.75, 16)):
        assert model.merge(ratio) == left
        regions = model.regions(images)
        assert regions.shape == (9, 8, 8) and all(len(np.unique(each)) == left for each in regions)


def test_at_ratio_zero_the_plain_model_answers(folder: Path) -> None:
    model = merging_model(folder, "vit-000")
    model.merge(0.0)
    plain = models.build("vit", num_classes=3, **OPTIONS).eval()
    plain.load_state_dict(torch.load(folder / "checkpoints" / "vit-000.pt", weights_only=True)["loop"]["model"])
    images = load_samples(folder)["test"].images
    with torch.inference_mode():
        assert torch.equal(model.logits(images), plain(model.pixels(images)))


def test_merges_are_drawn_for_the_best_trial_that_can_merge(ask, folder: Path) -> None:
    status, out, err = ask("merges", folder, "--count", 2, "--ratios", "0,0.5")
    assert status == 0, err
    path = folder / "figures" / "merges_small-000.png"
    assert out.strip() == str(path) and path.read_bytes().startswith(b"\x89PNG")


def test_images_of_the_users_own_are_taken(ask, folder: Path, tmp_path: Path) -> None:
    for name in ("cat", "elsewhere"):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.fromarray(noise(1).images[0]).save(tmp_path / "own" / name / "x.png")
    assert ask("merges", folder, "--images", tmp_path / "own", "--to", tmp_path / "a.png")[0] == 0
    status, _, err = ask("tome-sweep", folder, "--images", tmp_path / "own")
    assert status == 2 and "class" in err  # an accuracy needs every label


def test_a_sweep_measures_each_ratio_and_the_one_trained_at(ask, folder: Path) -> None:
    status, _, err = ask("tome-sweep", folder, "--trial", "small-000", "--ratios", "0,0.25,0.75")
    assert status == 0, err
    table = pd.read_csv(folder / "figures" / "tome_sweep.csv")
    assert table.tome_ratio.tolist() == [0, 0.25, 0.5, 0.75] and table.tokens_left.tolist() == [64, 48, 32, 16]
    assert table.times_as_fast[0] == 1 and (table.inference_images_per_second > 0).all()
    assert set(table.validation_images) == {6} and set(table.test_images) == {9}
    model = merging_model(folder, "small-000")
    for row in table.itertuples():
        model.merge(row.tome_ratio)
        sample = load_samples(folder)["test"]
        assert row.test_accuracy == pytest.approx((model.classify(sample.images) == sample.labels).mean())
    assert (folder / "figures" / "tome_sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trial", "resnet18-000"], ["resnet18", "small and vit"]),
        (["--trial", "vit-009"], ["vit-009", "small-000"]),
        (["--ratios", "0.5,1"], ["--ratios 0.5,1", "0,0.3,0.6"]),
        (["--ratios", "half"], ["--ratios half"]),
        (["--images", "nowhere"], ["--images nowhere"]),
    ],
)
def test_what_cannot_be_done_is_one_line(ask, folder: Path, arguments: list[str], words: list[str]) -> None:
    for verb in ("merges", "tome-sweep"):
        status, out, err = ask(verb, folder, *arguments)
        assert status == 2 and not out and err.count("\n") == 1
        assert all(word in err for word in words), err


def test_a_study_without_images_says_what_to_give(ask, folder: Path) -> None:
    StudyFolder(folder).samples.unlink()
    status, _, err = ask("merges", folder)
    assert status == 2 and "--images" in err


def test_samples_are_balanced_where_not_all_fit() -> None:
    fits_six = 6 * 16 * 16 * 3 / 1e6
    few, many = sample(noise(5), max_mb=fits_six), sample(noise(30), max_mb=fits_six)
    assert (few.images == noise(5).images).all() and few.labels.tolist() == [0, 1, 2, 0, 1]
    assert len(many.images) == 6 and np.bincount(many.labels).tolist() == [2, 2, 2]


def test_samples_are_written_once(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    keep(folder, Data(tuple(CLASSES), noise(5), noise(5)), noise(9))
    keep(folder, Data(tuple(CLASSES), noise(8), noise(8)), noise(8))
    assert len(contents.read_samples(folder)["validation"].images) == 5
    assert (contents.read_samples(folder)["test"].images == noise(9).images).all()
