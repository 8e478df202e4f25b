"""Numbers that PyTorch's side and ours can both make again, so that the goldens need not hold any weights."""

import zlib

import numpy as np


def seeded_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 values for a tensor of a torchvision ResNet that depend on nothing but its name and shape."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) == 1:
        around = 1.0 if name.endswith("weight") else 0.0
        return (around + 0.1 * rng.standard_normal(shape)).astype(np.float32)
    # He initialisation, so that values neither vanish nor explode with depth.
    return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def seeded_images(count: int) -> np.ndarray:
    """[count, 64, 64, 3] float32, about as spread as normalised photographs."""
    return np.random.default_rng(0).standard_normal((count, 64, 64, 3)).astype(np.float32)


def probe(name: str, array: np.ndarray) -> np.ndarray:
    """[256] of the array's values, at places that depend on its name and size only."""
    places = np.random.default_rng(zlib.crc32(name.encode())).integers(0, array.size, 256)
    return np.asarray(array).reshape(-1)[places]


CASES = {
    "adam": {"optimiser": "adam", "learning_rate": 1e-4, "weight_decay": 1e-2, "batch_norm": "train"},
    "sgd": {"optimiser": "sgd", "learning_rate": 1e-2, "weight_decay": 0.0, "batch_norm": "frozen"},
}
"""Settings of the training steps in finetune.npz."""


def training_images() -> tuple[np.ndarray, np.ndarray]:
    """Images [24, 64, 64, 3] uint8 of 3 classes of different brightness, and labels [24] int64."""
    rng = np.random.default_rng(1)
    labels = np.arange(24) % 3
    noise = rng.integers(0, 100, (24, 64, 64, 3))
    return (noise + 50 * labels[:, None, None, None]).astype(np.uint8), labels


def training_batches() -> list[np.ndarray]:
    """Twenty batches of 8 rows."""
    rng = np.random.default_rng(2)
    return [rng.choice(24, 8, replace=False) for _ in range(20)]
