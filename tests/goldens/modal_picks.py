"""What modAL picks, for `tests/test_modal.py`; run in an environment with modAL.

    python modal_picks.py PROBABILITIES.npz       prints {strategy: {array: {n: picks}}} as JSON

Each array of the file is [P, C], what a classifier's `predict_proba` gives for a pool.
"""

import json
import sys

import numpy as np
from modAL.multilabel import avg_confidence
from modAL.uncertainty import entropy_sampling, margin_sampling, uncertainty_sampling

STRATEGIES = {
    "least_confidence": uncertainty_sampling,
    "margin": margin_sampling,
    "entropy": entropy_sampling,
    "average_confidence": avg_confidence,
}


class Fixed:
    """A classifier whose probabilities are given."""

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def predict_proba(self, rows):
        return self.probabilities


def main():
    arrays = dict(np.load(sys.argv[1]))
    picks = {
        strategy: {
            name: {n: ask(Fixed(array), array, n_instances=n)[0].tolist() for n in (1, 5)}
            for name, array in arrays.items()
        }
        for strategy, ask in STRATEGIES.items()
    }
    print(json.dumps(picks))


main()
