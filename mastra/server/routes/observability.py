"""Observability: placeholder until written below."""

from fastapi import APIRouter


def add_observability_routes(router: APIRouter) -> None:
    """Add."""
