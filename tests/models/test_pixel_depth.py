"""Images of more than 8 bits per pixel: the range of their values, and what becomes of them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from models.inputs.image_files import decode, deep_values
from models.inputs.pixel_depth import FULL, DeepPixels, Range, common_range
from trainables.data import DataError
from trainables.data.images.decode import decode_images


def encoded(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def grey(*values: float, dtype: str = "uint16") -> np.ndarray:
    """A square image that has these values and is as wide as there are."""
    return np.tile(np.array(values, dtype), (len(values), 1))


def with_significant_bits(png: bytes, bits: int) -> bytes:
    """The PNG with an sBIT chunk behind its header, which takes 8 + 25 bytes."""
    chunk = b"sBIT" + bytes([bits])
    return png[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def range_of(*images: bytes) -> Range:
    return common_range([values for image in images if (values := deep_values(image)) is not None])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (encoded(grey(0, 200)), (0, 255)),  # 8 bits in 16
        (encoded(grey(0, 900)), (0, 1023)),
        (encoded(grey(0, 4000)), (0, 4095)),  # an X-ray of 12 bits
        (encoded(grey(0, 12_000)), (0, 16383)),
        (encoded(grey(0, 25_600)), (0, 65535)),
        (encoded(grey(0, 9)), (0, 15)),  # few labels
        (encoded(grey(0, 200), "TIFF"), (0, 255)),
        (encoded(grey(0, 200, dtype="int32"), "TIFF"), (0, 255)),
        (encoded(grey(-1000, 3000, dtype="int32"), "TIFF"), (-1000, 3000)),  # Hounsfield units
        (encoded(grey(0, 100_000, dtype="int32"), "TIFF"), (0, 2**17 - 1)),
        (encoded(grey(32_000, 34_000)), (32_000, 34_000)),  # an offset
        (encoded(grey(0.0, 0.5, dtype="float32"), "TIFF"), (0, 1)),
        (encoded(grey(-2.0, 6.0, dtype="float32"), "TIFF"), (-2, 6)),
        (encoded(grey(0.0, 250.0, dtype="float32"), "TIFF"), (0, 250)),
        (with_significant_bits(encoded(grey(0, 900)), 12), (0, 4095)),
        (with_significant_bits(encoded(grey(0, 65_520)), 12), (0, 65535)),  # scaled up, as the format demands
        (encoded(grey(0, 900), "TIFF", tiffinfo={281: 4095}), (0, 4095)),  # MaxSampleValue
    ],
)
def test_the_range_is_what_the_file_says_or_the_values_use(image: bytes, expected: Range) -> None:
    assert range_of(image) == expected
    low, high = deep_values(image)[1:3]  # type: ignore[index]
    pixels = decode(image, 2, resize=False, pixel_range=expected)[0, :, 0]
    assert pixels.tolist() == [round(255 * (v - expected[0]) / (expected[1] - expected[0])) for v in (low, high)]


def test_one_range_serves_the_whole_set() -> None:
    images = [encoded(grey(0, 100)), encoded(grey(0, 2000)), encoded(np.full((2, 2), 77, np.uint8))]
    pixels, pixel_range = decode_images(images, ["a", "b", "c"], image_size=2)
    assert pixel_range == (0, 4095)
    assert pixels[:, 0, 1, 0].tolist() == [round(100 * 255 / 4095), round(2000 * 255 / 4095), 77]


def test_images_of_8_bits_have_no_range() -> None:
    pixels, pixel_range = decode_images([encoded(np.full((2, 2), 9, np.uint8))], ["a"], image_size=2)
    assert pixel_range is None and pixels.max() == 9


def test_integers_among_floats_are_refused() -> None:
    images = [encoded(grey(0, 100)), encoded(grey(0, 1, dtype="float32"), "TIFF")]
    with pytest.raises(DataError, match="some images have integer pixels and others have floats") as error:
        decode_images(images, ["a.png", "b.tif"], image_size=2)
    assert "\n" not in str(error.value)


def test_a_range_must_be_known_and_16_full_bits_are_the_default() -> None:
    image = encoded(grey(0, 65_535))
    assert (decode(image, 2) == decode(image, 2, pixel_range=FULL)).all()
    with pytest.raises(DeepPixels):
        decode(image, 2, pixel_range=None)


def test_values_that_are_not_numbers_become_black() -> None:
    image = encoded(grey(float("nan"), 0.5, 1.0, dtype="float32"), "TIFF")
    assert decode(image, 3, pixel_range=range_of(image))[0, :, 0].tolist() == [0, 128, 255]
