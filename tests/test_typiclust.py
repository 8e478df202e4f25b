"""The clusterings that TypiClust uses."""

import jax
import numpy as np
import pytest
from reference import density_of
from sklearn.datasets import make_blobs

from jaxal.policies import typiclust
from jaxal.policies.typiclust import Clustering


def plan(*arguments, **settings) -> Clustering:
    return jax.tree.map(np.asarray, typiclust.clusterings(*arguments, **settings))


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    points, labels, *_ = make_blobs(150, centers=[[0, 0], [30, 0], [0, 30], [30, 30]], random_state=0)
    return np.asarray(points), np.asarray(labels)


def test_as_many_clusters_as_labels_after_the_step(blobs):
    made = plan(blobs[0], np.array([2, 5, 8]), 3, 160, seed=0)
    assert made.clusters.shape == made.typicality.shape == (3, 160)
    for step, count in enumerate((5, 8, 11)):
        clusters = made.clusters[step, :150]
        assert set(clusters) == set(range(count))
        np.testing.assert_array_equal(made.sizes[step, :count], np.bincount(clusters))
        assert not made.sizes[step, count:].any()
    assert np.all(made.clusters[:, 150:] == -1)


def test_the_clusters_are_those_of_k_means(blobs):
    points, labels = blobs
    clusters = plan(points, np.array([3]), 1, 150, seed=0).clusters[0]
    for c in range(4):
        assert len(set(clusters[labels == c])) == 1
    assert len({int(clusters[labels == c][0]) for c in range(4)}) == 4


def test_typicality_is_the_inverse_mean_distance_to_the_nearest_in_the_cluster(blobs):
    points, _ = blobs
    made = plan(points, np.array([3, 29]), 1, 150, seed=0)
    for step, count in enumerate((4, 30)):
        for c in range(count):
            members = np.flatnonzero(made.clusters[step] == c)
            expected = density_of(points[members].astype(np.float64))
            np.testing.assert_allclose(made.typicality[step, members], expected, rtol=1e-4)


def test_many_clusters_and_more_than_points():
    points = np.random.default_rng(0).normal(0, 1, (70, 3)).astype(np.float32)
    made = plan(points, np.array([54, 90]), 5, 70, seed=0)
    assert made.sizes.shape == (2, 70)
    assert len(set(made.clusters[0])) <= 59 and made.sizes[1].sum() == 70
    assert np.isfinite(made.typicality).all()


def test_same_seed_same_plan(blobs):
    one, again = (plan(blobs[0], np.array([4, 9]), 1, 150, seed=3) for _ in range(2))
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
