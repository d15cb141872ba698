"""The command line, as `python -m mastra`."""

from __future__ import annotations

from mastra.cli import main

if __name__ == "__main__":
    main()
