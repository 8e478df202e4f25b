"""What the experiments on the paper share: data, runs that are kept as small files, the paper's numbers, pictures."""
