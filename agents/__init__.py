"""Agents of the reference app."""
