"""Active learning as a Markov decision process."""
