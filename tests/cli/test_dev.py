"""`mastra dev` as a real process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.app_process import environment
from tests.support.inngest_env import free_ports

APP = """
from mastra import Mastra
from mastra.server import ServerConfig

mastra = Mastra(server=ServerConfig(receive_timeout=0.3))
"""


@pytest.mark.parametrize(
    "reload",
    [
        pytest.param("--reload", marks=pytest.mark.every_engine),
        "--no-reload",
    ],
)
async def test_half_sent_headers_are_not_waited_for(tmp_path: Path, reload: str) -> None:
    (tmp_path / "served.py").write_text(APP)
    [port] = free_ports(1)
    program = "from mastra.cli import main; main()"
    args = ["-c", program, "dev", "--app", "served:mastra", "--port", str(port), reload]
    env = environment({"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"})
    process = await asyncio.create_subprocess_exec(sys.executable, *args, cwd=tmp_path, env=env)
    try:
        async with asyncio.timeout(50):
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            writer.write(b"GET / HT")
            assert (await reader.read()).startswith(b"HTTP/1.1 408")
            writer.close()
    finally:
        process.terminate()
        await process.wait()
