"""The space that is chosen for data which come without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import run_study
from record.errors import UserError
from study.space.chosen import choose
from study.space.reading import resolve


def write_images(folder: Path, classes: int, images: int) -> None:
    """A folder for each class, of noise at 90 x 120 px."""
    random = np.random.default_rng(0)
    for number in range(classes):
        (own := folder / f"class{number}").mkdir(parents=True)
        for image in range(images):
            Image.fromarray(random.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(own / f"{image}.png")


def test_few_images_are_seen_often_in_small_batches(tmp_path: Path) -> None:
    """180 images: 36 are split off as test, 29 of the rest for validation; 400 steps of 16 would be 56 epochs."""
    write_images(tmp_path / "mine", classes=3, images=60)
    space = choose("mine", tmp_path, None, gpu=False)
    shared = space["all_models"]
    assert (shared["train_size"], shared["batch_size"], shared["epochs"]) == (115, 16, 40)
    assert space["data"] == {"name": "mine", "validation": 29, "test": 36}


def test_tiny_images_become_64_patches() -> None:
    """scikit-learn's digits have 8 px and 1,438 training images: 288 for validation, 400 steps of 32 are 12 epochs."""
    shared = (space := choose("digits", Path("data"), None, gpu=False))["all_models"]
    assert (shared["image_size"], shared["train_size"], shared["batch_size"], shared["epochs"]) == (16, 1150, 32, 12)
    assert space["models"]["vit"]["patch_size"] == 2


@pytest.mark.parametrize("weights", [None, "timm"])
@pytest.mark.parametrize("gpu", [False, True])
def test_every_chosen_space_is_valid_and_has_the_four_models(weights: str | None, gpu: bool) -> None:
    spec = resolve(choose("digits", Path("data"), weights, gpu), "chosen")
    assert {entry.model for entry in spec.models.values()} == {"scratch_vit", "resnet18", "vit", "vit_tome"}
    assert {entry.weights for name, entry in spec.models.items() if "vit" in name} == {weights or "none", "none"}
    assert spec.models["vit"].resources.gpus == (0.25 if gpu else 0)


def test_a_file_of_weights_needs_a_space_that_says_of_which_network() -> None:
    with pytest.raises(UserError, match="only a --space can say"):
        choose("digits", Path("data"), "vit.safetensors", gpu=False)


def test_a_run_without_a_space_says_what_was_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_study.main(
        data="digits", dry_run=True, results=str(tmp_path), data_dir=tmp_path, set_=["models.resnet18.width=16"]
    )
    printed = capsys.readouterr()
    assert "no --space is named: scratch_vit, resnet18, vit, vit_tome, the ViTs from random weights" in printed.err
    assert "width: 16" in printed.out and "description: Four image classifiers on digits" in printed.out


def test_neither_space_nor_data_is_one_line_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--space is missing.*--data NAME\|DIR alone chooses"):
        run_study.main(results=str(tmp_path))
