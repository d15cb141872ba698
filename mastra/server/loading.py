"""Packages that only some requests need, loaded beside the event loop: it takes them a second."""

from __future__ import annotations

import asyncio
from importlib import import_module

__all__ = ["loaded"]

_loaded: set[str] = set()


async def loaded(*modules: str) -> None:
    """Return once modules are imported, so that whoever imports them next waits for nothing.

    Raises:
        ModuleNotFoundError: A package that one needs is not installed.
    """
    # What is being imported by another thread is in `sys.modules` already, and would be waited for.
    missing = [name for name in modules if name not in _loaded]
    if missing:
        await asyncio.to_thread(_load, missing)


def _load(modules: list[str]) -> None:
    for name in modules:
        import_module(name)
        _loaded.add(name)
