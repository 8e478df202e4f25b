"""What is refitted at every step."""
