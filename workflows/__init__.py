"""Workflows of the reference app."""
