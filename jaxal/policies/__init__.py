"""What chooses: hand-written strategies, learned policies, and their training."""
