"""Arrays of images keep the limits that encoded images have."""

import numpy as np
import pytest

from jaxal.data.arrays import from_arrays
from jaxal.data.dataset import DataError
from jaxal.data.limits import MAX_ASPECT
from jaxal.data.load import load

Y = np.arange(8) % 2


def error_of(X: np.ndarray) -> str:
    with pytest.raises(DataError) as caught:
        from_arrays("some", X, Y)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_lines_are_no_images(dtype):
    reason = "pixels: no square to be seen in it"
    for shape, size in (((8, 2, 4000), "4,000 x 2"), ((8, 4000, 2, 3), "2 x 4,000"), ((8, 51, 1, 1), "1 x 51")):
        assert error_of(np.zeros(shape, dtype)) == f"some: X has shape {shape}; images of {size} {reason}"


def test_images_are_no_larger_than_encoded_ones():
    for shape in ((8, 10_000, 10_000), (8, 10_000, 10_000, 3)):
        huge = np.broadcast_to(np.uint8(0), shape)
        assert error_of(huge) == f"some: X has shape {shape}; images of more than 89,478,485 pixels"


def test_the_limits_are_for_images_alone(tmp_path):
    random = np.random.default_rng(0)
    longest = random.integers(0, 256, (8, 2, 2 * MAX_ASPECT), np.uint8)
    assert len(from_arrays("some", longest, Y)) == 8
    assert from_arrays("some", random.standard_normal((8, 4000)), Y).inputs.shape == (8, 4000)
    np.savez(tmp_path / "lines.npz", X=np.zeros((8, 2, 4000), np.uint8), y=Y)
    with pytest.raises(DataError, match=r"lines.npz: X has shape \(8, 2, 4000\); images of 4,000 x 2 pixels"):
        load(str(tmp_path / "lines.npz"))


def test_one_white_for_all_images_and_few_bright_ones_are_named():
    images = np.random.default_rng(0).integers(0, 4096, (200, 4, 5)).astype(np.uint16)
    images[7, 0, 0] = 20_000
    dataset = from_arrays("some", images, np.arange(200) % 2)
    np.testing.assert_array_equal(dataset.inputs[..., 0], np.rint(images * np.float32(255 / 65535)))
    assert dataset.notices == ("uint16 images brought to 8 bits (65535 is white, above 16383 only in row 7)",)


def test_transparent_images_are_laid_on_white():
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 5, 4)).astype(np.uint8)
    opacity = images[..., 3:] / 255
    expected = np.rint(images[..., :3] * opacity + 255 * (1 - opacity))
    for X in (images, images / 255, images.astype(np.float32)):
        np.testing.assert_allclose(from_arrays("some", X, Y).inputs, expected, atol=1)
