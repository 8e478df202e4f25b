"""The double DQN on (state, action) pairs in NumPy, and its replay by priorities."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]
"""(kernel [in, out], bias [out]) of each layer."""

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Adam's


class Transition(NamedTuple):
    """One step."""

    state: np.ndarray  # [S]
    action: np.ndarray  # [F]
    reward: float
    next_state: np.ndarray  # [S]
    next_actions: np.ndarray  # [U, F]
    last: bool  # whether the episode ended with it


def init_layers(sizes: list[int], rng: np.random.Generator) -> Layers:
    """Random layers (LeCun's normal), biases zero."""
    return [(rng.normal(0, a**-0.5, (a, b)), np.zeros(b)) for a, b in pairwise(sizes)]


def forward(layers: Layers, x: np.ndarray) -> list[np.ndarray]:
    """Inputs [n, S + F] and what each layer makes of them, the last [n, 1] being Q."""
    out = [x]
    for i, (kernel, bias) in enumerate(layers):
        x = out[-1] @ kernel + bias
        out.append(np.maximum(x, 0) if i < len(layers) - 1 else x)
    return out


def q_values(layers: Layers, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Q of actions [U, F] in a state [S]: [U]."""
    return forward(layers, np.hstack([np.tile(state, (len(actions), 1)), actions]))[-1][:, 0]


def gradients(layers: Layers, x: np.ndarray, errors: np.ndarray) -> Layers:
    """Of half the sum of squared `errors` [n], which are Q(x) minus a constant."""
    seen = forward(layers, x)
    flow, found = errors[:, None], []
    for i in reversed(range(len(layers))):
        found.append((seen[i].T @ flow, flow.sum(0)))
        flow = (flow @ layers[i][0].T) * (seen[i] > 0)
    return found[::-1]


@dataclass
class Agent:
    """Online and target network, and Adam's moments."""

    layers: Layers
    rate: float = 1e-4
    gamma: float = 0.99
    target_rate: float = 0.01
    target: Layers = field(init=False)
    moments: list[list[np.ndarray]] = field(init=False)
    updates: int = 0

    def __post_init__(self) -> None:
        self.target = [(kernel.copy(), bias.copy()) for kernel, bias in self.layers]
        flat = [part for layer in self.layers for part in layer]
        self.moments = [[np.zeros_like(part) for part in flat] for _ in range(2)]

    def expected(self, t: Transition) -> float:
        """Double Q's target: the online network selects, the target network evaluates."""
        if t.last:
            return t.reward
        best = int(np.argmax(q_values(self.layers, t.next_state, t.next_actions)))
        return t.reward + self.gamma * q_values(self.target, t.next_state, t.next_actions[best : best + 1])[0]

    def update(self, minibatch: list[Transition]) -> np.ndarray:
        """One step of Adam on the sum of squares; gives the TD errors [n] from before it."""
        x = np.stack([np.concatenate([t.state, t.action]) for t in minibatch])
        errors = forward(self.layers, x)[-1][:, 0] - np.array([self.expected(t) for t in minibatch])
        slopes = [part for layer in gradients(self.layers, x, 2 * errors) for part in layer]
        self.updates += 1
        moved: list[np.ndarray] = []
        for i, (part, slope) in enumerate(zip((p for layer in self.layers for p in layer), slopes, strict=True)):
            first = self.moments[0][i] = BETA_1 * self.moments[0][i] + (1 - BETA_1) * slope
            second = self.moments[1][i] = BETA_2 * self.moments[1][i] + (1 - BETA_2) * slope**2
            step = first / (1 - BETA_1**self.updates) / (np.sqrt(second / (1 - BETA_2**self.updates)) + EPSILON)
            moved.append(part - self.rate * step)
        self.layers = list(zip(moved[::2], moved[1::2], strict=True))
        mix = lambda new, old: self.target_rate * new + (1 - self.target_rate) * old
        self.target = [(mix(a, c), mix(b, d)) for (a, b), (c, d) in zip(self.layers, self.target, strict=True)]
        return errors


@dataclass
class Replay:
    """Transitions, drawn with a probability proportional to |TD error|^3, without replacement in a minibatch."""

    capacity: int = 10_000
    exponent: float = 3.0
    transitions: list[Transition] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def add(self, transition: Transition) -> None:
        """A new one has the largest priority so far."""
        self.transitions.append(transition)
        self.errors.append(max(self.errors, default=1.0))
        self.transitions, self.errors = self.transitions[-self.capacity :], self.errors[-self.capacity :]

    def probabilities(self) -> np.ndarray:
        """Of each transition to be drawn first: [n]."""
        weights = np.array(self.errors) ** self.exponent + 1e-6
        return weights / weights.sum()

    def sample(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Places [size] of different transitions."""
        return rng.choice(len(self.transitions), size, replace=False, p=self.probabilities())

    def reprioritise(self, places: np.ndarray, errors: np.ndarray) -> None:
        """Sets TD errors."""
        for place, error in zip(places, errors, strict=True):
            self.errors[place] = abs(float(error))
