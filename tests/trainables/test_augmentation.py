"""What happens to images between the data set and the model: augmentation, resizing, normalisation."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inputs.preprocessing import prepare
from trainables.image_classification.augmentation import augment


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.booleans(), st.floats(0, 0.9), st.integers(0, 2**31))
def test_augmentation_flips_and_shifts_each_image(
    batch: int, height: int, width: int, flip: bool, shift: float, seed: int
) -> None:
    """Every result is one of the possible images, which loops over pixels produce."""
    images = torch.arange(batch * height * width * 3).reshape(batch, height, width, 3)
    result = augment(images, torch.Generator().manual_seed(seed), flip, shift)
    assert result.shape == images.shape
    down, right = round(shift * height), round(shift * width)
    for image, augmented in zip(images, result, strict=True):
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
        assert any(torch.equal(augmented, candidate) for candidate in possible)


def test_without_flip_and_shift_images_stay_as_they_are() -> None:
    images = torch.randint(0, 255, (3, 4, 4, 3), dtype=torch.uint8)
    assert torch.equal(augment(images, torch.Generator(), flip=False, shift=0.0), images)


def test_preparing_normalises_each_channel_and_resizes_like_torch() -> None:
    images = torch.randint(0, 256, (2, 6, 6, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.25, 1.0])
    same_size = prepare(images, 6, mean, std)
    expected = (images.permute(0, 3, 1, 2) / 255 - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(same_size, expected, atol=1e-5)
    larger = prepare(images, 12, mean, std)
    assert larger.shape == (2, 3, 12, 12)
    assert torch.allclose(larger, torch.nn.functional.interpolate(expected, (12, 12), mode="bilinear"), atol=1e-5)
