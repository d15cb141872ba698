"""Measurements: our figures beside the bare limit. `python -m bench` prints the table."""
