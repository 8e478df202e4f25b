"""The zoo of `odd_inputs.py`."""
