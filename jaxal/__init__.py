"""Batch active learning with a learned acquisition policy, in pure-functional JAX."""
