"""LAL-RL's training as a Python loop, step by step."""

import time
from typing import NamedTuple

import numpy as np

from experiments.lal_rl.agent import Agent, Replay, Transition, init_layers, q_values
from experiments.lal_rl.environment import Data, Episode, initial_set

HIDDEN = [128, 128, 128]
MINIBATCH = 32


class Trained(NamedTuple):
    """What came of it."""

    agent: Agent
    returns: list[float]  # of each episode
    seconds: dict[str, float]  # by what they were spent on: episodes, updates


def train(data: Data, budget: int, *, warm_start: int, episodes: int, updates: int, seed: int) -> Trained:
    """Random episodes, then epsilon-greedy ones, `updates` after each; epsilon falls from 1 to 0.1."""
    rng = np.random.default_rng(seed)
    agent, replay = Agent(init_layers([len(data.state) + 3, *HIDDEN, 1], rng)), Replay()
    returns, seconds = [], {"episodes": 0.0, "updates": 0.0}
    for epsilon in [1.0] * warm_start + list(np.linspace(1.0, 0.1, episodes)):
        began = time.perf_counter()
        returns.append(play(data, budget, agent, replay, float(epsilon), rng))
        played = time.perf_counter()
        if len(returns) > warm_start:
            for _ in range(updates):
                places = replay.sample(min(MINIBATCH, len(replay.transitions)), rng)
                replay.reprioritise(places, agent.update([replay.transitions[i] for i in places]))
        seconds["episodes"] += played - began
        seconds["updates"] += time.perf_counter() - played
    return Trained(agent, returns, seconds)


def play(data: Data, budget: int, agent: Agent, replay: Replay, epsilon: float, rng: np.random.Generator) -> float:
    """One episode up to `budget` labels, stored; its return."""
    episode = Episode(data, initial_set(data.pool_labels, rng))
    seen, total = episode.observe(), 0.0
    while len(episode.labelled) < budget:
        greedy = rng.random() >= epsilon
        chosen = int(
            np.argmax(q_values(agent.layers, seen.state, seen.actions)) if greedy else rng.integers(len(seen.rows))
        )
        reward = episode.step(int(seen.rows[chosen]))
        after = episode.observe()
        last = len(episode.labelled) >= budget
        replay.add(Transition(seen.state, seen.actions[chosen], reward, after.state, after.actions, last))
        seen, total = after, total + reward
    return total
