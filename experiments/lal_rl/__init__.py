"""LAL-RL (Konyushkova et al. 2018) the way its authors compute it, written anew from its description.

It is here for the time that it takes: every distance is computed again for every episode, the classifier is fitted
from scratch after every label, and an episode is a Python loop. What it computes is what `jaxal run --preset lal-rl`
computes (`tests/test_lal_rl.py`). Where the paper changes LAL-RL, this follows the paper: a Q-network of 3 x 128 ReLU,
Adam at 1e-4, a discount of 0.99, and rewards on a hold-out set.
"""
