"""How much the outcome of training depends on its random numbers: several policies trained on one split.

Every policy is compared on the same pool from the same initial sets, so that they differ in nothing but the keys of
their training (initial parameters, training tasks, episodes).

    python experiments/training_seeds.py --dataset digits --policies 4

About two minutes on two cores. Expected: mean AULCs within 0.005 of each other.
"""

import argparse
from dataclasses import replace

import jax
import numpy as np

from jaxal import presets
from jaxal.data import load
from jaxal.data.dataset import Embedded
from jaxal.experiment import compare_strategies, sources_for, train_policies
from jaxal.prepare import prepare


def main() -> None:
    """Trains, compares and prints one line a policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="a bundled data set or a .npz file of features")
    parser.add_argument("--policies", type=int, default=4)
    parser.add_argument("--starts", type=int, default=64, help="initial sets that every policy starts from")
    asked = parser.parse_args()

    dataset = load.load(asked.dataset)
    source = Embedded(dataset, dataset.inputs.astype(np.float32))
    base = presets.default()
    one = replace(base, evaluation=replace(base.evaluation, seeds=1, starts=asked.starts, strategies=("ddqn",)))
    one, splits, *_ = prepare(one, dataset, [dataset])
    many = replace(one, evaluation=replace(one.evaluation, seeds=asked.policies))  # each with its own keys
    learned = train_policies(many, sources_for(many, [source], [splits] * asked.policies))["ddqn"]
    means = []
    for i in range(asked.policies):
        policy = jax.tree.map(lambda x, i=i: x[i : i + 1], {"ddqn": learned.params})
        curves = compare_strategies(one, source, splits, policy).curves["ddqn"]
        means.append(float(np.mean(curves.metrics["accuracy"])))
        print(f"policy {i}: AULC {means[-1]:.4f}")
    print(f"largest difference {max(means) - min(means):.4f}")
    print(f"training {learned.report['seconds'] / asked.policies:.0f} s a policy, without compilation")


if __name__ == "__main__":
    main()
