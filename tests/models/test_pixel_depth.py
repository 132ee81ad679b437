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


def deep_png(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits per channel, which Pillow cannot write: 2 (grey, alpha), 3 or 4 channels."""
    height, width, channels = pixels.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def deep_tiff(pixels: np.ndarray, order: str, packed: bool = False, planes: bool = False) -> bytes:
    """A TIFF of three channels of 16 bits; order: "<" or ">"; planes: one channel after the other."""
    height, width, _ = pixels.shape
    raw = (pixels.transpose(2, 0, 1) if planes else pixels).astype(f"{order}u2").tobytes()
    parts = [raw[i * len(raw) // 3 : (i + 1) * len(raw) // 3] for i in range(3)] if planes else [raw]
    parts = [zlib.compress(part) for part in parts] if packed else parts
    content = struct.pack(f"{order}3H", 16, 16, 16)
    starts = [8 + len(content) + sum(map(len, parts[:i])) for i in range(len(parts))]
    content += b"".join(parts)
    lists = {}
    for tag, numbers in ((273, starts), (279, [len(part) for part in parts])):
        lists[tag] = numbers[0] if len(numbers) == 1 else 8 + len(content)
        content += b"" if len(numbers) == 1 else struct.pack(f"{order}3I", *numbers)
    tags = [(256, 1, width), (257, 1, height), (258, 3, 8), (259, 1, 8 if packed else 1), (262, 1, 2)]
    tags += [(273, len(parts), lists[273]), (277, 1, 3), (278, 1, height), (279, len(parts), lists[279])]
    tags += [(284, 1, 2 if planes else 1)]
    entries = [struct.pack(f"{order}HHII", tag, 3 if tag == 258 else 4, count, value) for tag, count, value in tags]
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8 + len(content))
    return start + content + struct.pack(f"{order}H", len(tags)) + b"".join(entries) + bytes(4)


COLOURS = np.random.default_rng(0).integers(0, 4096, (5, 5, 3), dtype=np.uint16)
COLOURS[0, 0] = (0, 4000, 300)


@pytest.mark.parametrize(
    "image",
    [
        deep_png(COLOURS),
        deep_png(np.concatenate([COLOURS, np.full((5, 5, 1), 65535, np.uint16)], 2)),
        deep_tiff(COLOURS, "<"),
        deep_tiff(COLOURS, ">"),
        deep_tiff(COLOURS, "<", packed=True),
        deep_tiff(COLOURS, ">", packed=True),
    ],
)
def test_colours_of_12_bits_in_16_keep_their_values(image: bytes) -> None:
    """Pillow alone reads their high bytes: all black."""
    pixels, pixel_range = decode_images([image], ["a"], image_size=5)
    assert pixel_range == (0, 4095)
    assert (pixels[0] == np.round(COLOURS * (255 / 4095))).all()


def test_full_colours_of_16_bits_use_their_full_range() -> None:
    full = COLOURS * 16
    pixels, pixel_range = decode_images([deep_png(full)], ["a"], image_size=5)
    assert pixel_range == (0, 65535) and (pixels[0] == np.round(full / 257)).all()
    assert (decode(deep_png(full), 5) == pixels[0]).all()  # as an exported model without a range reads it


def test_deep_grey_with_alpha_is_put_on_white() -> None:
    grey_alpha = np.array([[[1000, 65535], [4000, 0]], [[300, 65535], [4095, 65535]]], np.uint16)
    pixels, pixel_range = decode_images([deep_png(grey_alpha)], ["a"], image_size=2)
    assert pixel_range == (0, 4095)
    assert pixels[0, ..., 1].tolist() == [[62, 255], [19, 255]]


def test_deep_colours_turn_as_exif_says() -> None:
    png = deep_png(COLOURS)
    exif = Image.Exif()
    exif[274] = 6  # a quarter to the right
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + content
    turned = png[:33] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    assert (decode(turned, 5) == np.rot90(decode(png, 5), -1)).all()


@pytest.mark.parametrize("packed", [False, True])
def test_planes_that_pillow_garbles_are_refused(packed: bool) -> None:
    with pytest.raises(
        DataError, match=r"^b\.tif: .*16 bits per channel in a form that cannot be read; save it as"
    ) as e:
        decode_images([deep_png(COLOURS), deep_tiff(COLOURS, "<", packed, planes=True)], ["a", "b.tif"], image_size=5)
    assert "\n" not in str(e.value)
