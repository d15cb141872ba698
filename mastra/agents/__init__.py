"""Agents: what is asked of them and what they answer; the wings are how a run goes."""
