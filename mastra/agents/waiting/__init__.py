"""Runs that wait for somebody's answer: stored, found, claimed, and gone on with."""
