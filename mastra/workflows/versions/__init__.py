"""Definitions that change: what a run notes of its own, how two are compared, which one it goes on by."""
