"""Synthetic data sets: mixtures of several clusters a class, in spaces of many shapes, with overlap and label noise."""

import numpy as np


def synthetic(rng: np.random.Generator, rows: int = 1100) -> tuple[np.ndarray, np.ndarray]:
    """Latents [rows, D] float32 of 2 to 10 classes, and labels [rows]."""
    classes = int(rng.integers(2, 11)) if rng.random() < 0.6 else 2
    inner, labels = _mixture(rng, rows, classes)
    latents = _lift(rng, inner)
    if rng.random() < 0.4:  # directions that have nothing to do with the classes
        extra = int(rng.integers(10, 150))
        scales = np.arange(1, extra + 1) ** -rng.uniform(0, 1.0)
        strength = latents.std() * rng.uniform(0.1, 0.6) / np.sqrt(extra) * 2
        latents = (
            latents + (rng.normal(size=(rows, extra)) * scales) @ rng.normal(size=(extra, latents.shape[1])) * strength
        )
    latents = latents + rng.normal(size=latents.shape) * latents.std() * rng.uniform(0.02, 0.8)
    if rng.random() < 0.4:
        wrong = rng.random(rows) < rng.uniform(0, 0.15)
        labels[wrong] = rng.integers(0, classes, wrong.sum())
    return latents.astype(np.float32), labels


def _mixture(rng: np.random.Generator, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of few dimensions, and their classes; each class has one to five clusters of random shapes."""
    size = int(rng.integers(2, 16))
    separation = np.exp(rng.uniform(np.log(0.8), np.log(3.5)))
    prior = rng.dirichlet(np.full(classes, rng.choice([1.0, 3.0, 20.0]))) * 0.8 + 0.2 / classes
    labels = rng.choice(classes, rows, p=prior / prior.sum())
    points, heavy_tails = np.zeros((rows, size)), rng.random() < 0.3
    for c in range(classes):
        members = np.flatnonzero(labels == c)
        clusters = int(rng.integers(1, 6))
        cluster = rng.choice(clusters, len(members), p=rng.dirichlet(np.full(clusters, 2.0)))
        centres = rng.normal(size=(clusters, size)) * separation / np.sqrt(size) * rng.uniform(0.7, 1.6)
        for j in range(clusters):
            own = members[cluster == j]
            shape = rng.normal(size=(size, size)) / np.sqrt(size) * rng.uniform(0.4, 1.2) / size**0.25
            noise = rng.normal(size=(len(own), size))
            if heavy_tails:
                noise /= np.sqrt(rng.chisquare(4, (len(own), 1)) / 4)
            points[own] = centres[j] + noise @ shape
    return points, labels


def _lift(rng: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """The points in a space of up to 600 dimensions, linearly or through a layer of random units."""
    size = points.shape[1]
    wide = int(np.exp(rng.uniform(np.log(max(size, 5)), np.log(600))))
    weights = rng.normal(size=(size, wide)) / np.sqrt(size)
    kind = rng.integers(3)
    if kind == 0:
        return points @ weights
    shifted = points @ weights * 1.5 + rng.normal(size=wide) * 0.5
    return np.maximum(shifted, 0) if kind == 1 else np.tanh(shifted)


def change_geometry(rng: np.random.Generator, latents: np.ndarray) -> np.ndarray:
    """Latents [n, D] in another geometry, so that one data set serves as many."""
    x = np.nan_to_num(latents.astype(np.float64))
    x = (x - x.mean(0)) / (x.std(0) + 1e-6)
    width, kind = x.shape[1], rng.integers(6)
    if kind == 0:  # some of the columns
        out = x[:, rng.permutation(width)[: max(4, int(width * rng.uniform(0.1, 0.7)))]]
    elif kind == 1:  # a random projection
        out = x @ rng.normal(size=(width, int(rng.integers(10, 200)))) / np.sqrt(width)
    elif kind == 2:  # some principal components, more or less whitened
        values, axes = np.linalg.svd(x[rng.permutation(len(x))[:800]], full_matrices=False)[1:]
        kept = min(int(rng.integers(4, 60)), len(values))
        out = x @ axes[:kept].T / np.maximum(values[:kept], 1e-6) ** rng.uniform(0, 1)
    elif kind == 3:  # a layer of random units
        units = rng.normal(size=(width, int(rng.integers(50, 400)))) / np.sqrt(width) * 1.5
        out = np.maximum(x @ units + rng.normal() * 0.5, 0)
    elif kind == 4:  # signed powers
        out = np.sign(x) * np.abs(x) ** rng.uniform(0.3, 1.8)
    else:  # noise
        out = x + rng.normal(size=x.shape) * rng.uniform(0.1, 1.0)
    return out.astype(np.float32)
