"""Runs of which every model call and every tool call is an operation of a workflow's engine."""
