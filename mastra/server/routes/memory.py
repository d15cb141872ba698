"""Memory: placeholder until written below."""

from fastapi import APIRouter


def add_memory_routes(router: APIRouter) -> None:
    """Add."""
