"""Pools with Gram matrices and distances, stacked to banks."""
