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
