"""What chooses: the one function by which a project knows strategies and classifiers."""

from typing import Any, NamedTuple, Protocol

import numpy as np

REASONS = ("unsure", "unlike anything labelled", "many like it")


class Head(NamedTuple):
    """A classifier as an affine function of latents: probabilities are softmax(latents @ kernel + bias).

    A project keeps the head of every classifier that it was asked by. So images that are set aside for testing, and new
    ones, are predicted by the very classifier that chose, without being part of the pool that it is standardised on.
    """

    kernel: np.ndarray  # [D, C] float32
    bias: np.ndarray  # [C] float32

    def probabilities(self, latents: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """latents: [n, D] float32. Returns [n, C] float32."""
        return softmax((latents @ self.kernel + self.bias) / temperature)


class Suggestion(NamedTuple):
    """What to label next, and what the classifier says of every row of the pool.

    rows: [n] int, distinct, unlabelled, not pending; the first is to be labelled first. Fewer than asked for, where
      fewer are left.
    scores: [n] float, the strategy's own.
    predicted: [m] int32 classes.
    probabilities: [m, C] float32.
    reasons: [n, 3] float32, 0..1, in the order of `REASONS`.
    head: the classifier.
    """

    rows: np.ndarray
    scores: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    reasons: np.ndarray
    head: Head


class Suggest(Protocol):
    """How a project asks for the next images."""

    def __call__(
        self, latents: np.ndarray, labels: np.ndarray, n: int, *, classes: int, pending: np.ndarray, key: Any
    ) -> Suggestion:
        """Pure: the same arguments give the same suggestion.

        Args:
          latents: [m, D] float32, the pool.
          labels: [m] int32 classes, -1 where not known; there may be none at all.
          n: how many to suggest; 0 for the classifier alone.
          classes: C, known so far; at least 1.
          pending: [k] int32 rows that were asked and not answered yet: not to be asked again, and counted as labelled
            with their predicted class.
          key: of `jax.random`.
        """
        ...


def softmax(logits: np.ndarray) -> np.ndarray:
    """Of the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def why(reasons: np.ndarray) -> str:
    """The strongest of an image's reasons [3], in words."""
    return REASONS[int(np.argmax(reasons))]
