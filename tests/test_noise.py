"""The acquisition noise: the paper's ranges, scipy's geometry, and pool rows only."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import jaxal
from jaxal.data.noise import PAPER, NoiseConfig, add_noise, noisy_copies, noisy_rows, zoom_and_rotate
from jaxal.data.splits import Split

moved = jax.jit(zoom_and_rotate)
IMAGE = np.random.default_rng(0).random((31, 40, 3), np.float32)


def by_scipy(image: np.ndarray, zoom: float, angle: float) -> np.ndarray:
    """The same by an affine matrix about the centre."""
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) / zoom
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - turn @ centre
    planes = [
        ndimage.affine_transform(image[..., c], turn, offset, order=1, mode="nearest") for c in range(image.shape[-1])
    ]
    return np.stack(planes, -1)


@pytest.mark.parametrize("zoom", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("angle", [-math.pi / 12, 0.0, 0.1])
def test_zoom_and_rotation_equal_scipy(zoom, angle):
    ours = moved(jnp.asarray(IMAGE), jnp.float32(zoom), jnp.float32(angle))
    np.testing.assert_allclose(ours, by_scipy(IMAGE, zoom, angle), atol=1e-5)


def test_rotation_equals_scipys_rotate_and_zoom_magnifies():
    ours = moved(jnp.asarray(IMAGE), jnp.float32(1), jnp.float32(0.2))
    theirs = ndimage.rotate(IMAGE, math.degrees(0.2), reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    dot = np.zeros((41, 41, 1), np.float32)
    dot[15:26, 15:26] = 1
    area = lambda zoom: float(moved(jnp.asarray(dot), jnp.float32(zoom), jnp.float32(0)).sum())
    assert area(1.5) / area(1.0) == pytest.approx(1.5**2, rel=0.05)
    assert area(0.8) < area(1.0) < area(1.1)


def test_drawn_angles_and_zooms_have_the_papers_ranges():
    # A slanted plane gives its rotation away by the direction of its slope, its zoom by the steepness.
    slope = 0.01
    plane = np.broadcast_to(0.5 + slope * (np.arange(21) - 10)[:, None, None], (21, 21, 1))
    count = 400
    images = np.broadcast_to(plane, (count, 21, 21, 1)).astype(np.float32)
    noisy = add_noise(jax.random.key(0), images, np.arange(count), NoiseConfig(spread=0.0))
    middle = np.asarray(noisy)[:, 6:15, 6:15, 0]
    rows, columns = np.gradient(middle, axis=1).mean((1, 2)), np.gradient(middle, axis=2).mean((1, 2))
    angles, zooms = np.arctan2(columns, rows), slope / np.hypot(rows, columns)
    for drawn, low, high in ((angles, -math.pi / 12, math.pi / 12), (zooms, 0.9, 1.1)):
        width = high - low
        assert drawn.min() >= low - 1e-3
        assert drawn.max() <= high + 1e-3
        assert drawn.min() < low + 0.03 * width
        assert drawn.max() > high - 0.03 * width
        assert abs(drawn.mean() - (low + high) / 2) < 3 * width / math.sqrt(12 * count)


def test_noise_is_multiplicative_gaussian_around_one():
    still = NoiseConfig(rotation=0.0, zoom=(1.0, 1.0))
    images = np.full((200, 24, 24, 3), 0.5, np.float32)
    images[..., 1] = 0.25  # coloured
    images[:, :4] = 0
    noisy = np.asarray(add_noise(jax.random.key(1), images, np.arange(200), still))
    assert np.all(noisy[:, :4] == 0)  # what is black stays black
    factors = noisy[:, 4:] / images[:, 4:]
    spreads = factors.std((1, 2, 3))
    assert spreads.min() < 0.01
    assert 0.09 < spreads.max() < 0.105
    assert spreads.mean() == pytest.approx(0.05, abs=0.006)
    assert abs(factors.mean() - 1) < 1e-3
    assert not np.array_equal(factors[..., 0], factors[..., 1])
    unchanged = NoiseConfig(rotation=0.0, zoom=(1.0, 1.0), spread=0.0)
    np.testing.assert_allclose(add_noise(jax.random.key(1), images, np.arange(200), unchanged), images, atol=1e-6)


def test_an_image_depends_on_key_and_row_alone():
    images = np.random.default_rng(2).integers(0, 256, (5, 16, 16, 3), np.uint8)
    rows = np.array([3, 8, 20, 21, 99])
    noisy = add_noise(jax.random.key(0), images, rows)
    assert noisy.dtype == jnp.uint8
    assert noisy.shape == images.shape
    np.testing.assert_array_equal(noisy, add_noise(jax.random.key(0), images, rows))
    shuffled = np.array([4, 0, 2])
    np.testing.assert_array_equal(
        np.asarray(noisy)[shuffled], add_noise(jax.random.key(0), images[shuffled], rows[shuffled])
    )
    assert not np.array_equal(noisy, add_noise(jax.random.key(1), images, rows))
    same = np.stack([images[0]] * 2)
    apart = add_noise(jax.random.key(0), same, np.array([1, 2]))
    assert not np.array_equal(apart[0], apart[1])
    # bytes are the rounded fractions
    fractions = add_noise(jax.random.key(0), images.astype(np.float32) / 255, rows)
    np.testing.assert_array_equal(noisy, np.rint(255 * np.asarray(fractions)))


def test_grey_images_stay_grey():
    grey = np.repeat(np.random.default_rng(3).integers(0, 256, (2, 16, 16, 1), np.uint8), 3, -1)
    noisy = np.asarray(add_noise(jax.random.key(0), grey, np.arange(2)))
    np.testing.assert_array_equal(noisy[..., 0], noisy[..., 1])
    np.testing.assert_array_equal(noisy[..., 0], noisy[..., 2])
    one = add_noise(jax.random.key(0), grey[..., :1], np.arange(2))
    assert one.shape == (2, 16, 16, 1)


def test_fractions_of_the_pool():
    pool = np.random.default_rng(0).permutation(1000)[:200]
    draw = lambda fraction: noisy_rows(jax.random.key(5), pool, fraction)
    assert [len(draw(f)) for f in (0, 0.1, 0.5, 1)] == [0, 20, 100, 200]
    assert set(draw(0.1)) < set(draw(0.5)) < set(draw(1)) == set(pool)
    np.testing.assert_array_equal(draw(0.5), noisy_rows(jax.random.key(5), pool[::-1], 0.5))
    assert not np.array_equal(draw(0.5), noisy_rows(jax.random.key(6), pool, 0.5))
    for wrong in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="not within 0 and 1"):
            draw(wrong)


def test_noisy_copies_stand_in_pools_only():
    rng = np.random.default_rng(0)

    def cut() -> Split:
        rows = rng.permutation(100)
        return Split(rows[:30], rows[30:60], rows[60:65], rows[65:75], rows[75:85], rows[85:])

    splits = [cut(), cut()]
    rows, noisy = noisy_copies(jax.random.split(jax.random.key(0)), splits, 0.5, 100)
    assert len(rows) < 60  # the two share some
    clean = np.r_[:100, rows]
    for before, after in zip(splits, noisy, strict=True):
        for part in Split._fields:
            old, new = getattr(before, part), getattr(after, part)
            np.testing.assert_array_equal(clean[new], old)  # the same images
            assert np.sum(new >= 100) == (15 if part in ("source_pool", "pool") else 0)
    assert set(np.concatenate([s for n in noisy for s in (n.pool, n.source_pool)]) - 100) >= set(range(len(rows)))

    same = [splits[0]._replace(source_pool=splits[0].pool)]  # the paper's protocol
    _, (one,) = noisy_copies(jax.random.key(0)[None], same, 0.5, 100)
    np.testing.assert_array_equal(one.pool, one.source_pool)
    none, untouched = noisy_copies(jax.random.split(jax.random.key(0)), splits, 0.0, 100)
    assert len(none) == 0
    assert all(np.array_equal(a, b) for a, b in zip(untouched[0], splits[0], strict=True))


@pytest.mark.parametrize(
    "wrong",
    [{"rotation": -0.1}, {"rotation": 4.0}, {"zoom": (0.0, 1.0)}, {"zoom": (1.1, 0.9)}, {"spread": -1.0}],
)
def test_ranges_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NoiseConfig(**wrong)
    assert PAPER.rotation == math.pi / 12


def test_compare_adds_the_noise_that_is_asked_for(digits, tmp_path, vmapped_keys):
    images = digits.inputs[:200].reshape(-1, 8, 8).astype(np.uint8) * 15
    settings = {"encoder": "pixels", "seeds": 1, "starts": 2, "budget": 12, "cache_dir": str(tmp_path)}
    clean, noisy = (
        jaxal.compare((images, digits.labels[:200]), ["margin"], noise=noise, progress=False, **settings)
        for noise in (0.0, 1.0)
    )
    assert "100% of the pool images carry noise" in " ".join(noisy.summary["dataset"]["notices"])
    assert (clean.curves("margin") != noisy.curves("margin")).any()
